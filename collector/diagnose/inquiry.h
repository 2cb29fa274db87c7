/* inquiry: what the files of diagnose share. Private to them.
 *
 * A problem is one thing that is wrong in one place: packets of one direction that die there, or conversations that do not
 * start. An inquiry asks one question about one problem with one machine in mind ("who"): evidence answers it. */
#ifndef BW_COLLECTOR_DIAGNOSE_INQUIRY_H
#define BW_COLLECTOR_DIAGNOSE_INQUIRY_H

#include "collector/diagnose/diagnose.h"
#include "collector/diagnose/firewall.h"

#define NO_CUT       255
#define PROBLEMS_MAX 32

/* ---- problem.c ---- */

struct problem {
	uint8_t dir;       /* in which direction what dies was travelling */
	kind_mask probes;  /* this direction's probes that die here */
	kind_mask answers; /* answers to the other direction's probes that die here */
	kind_mask starts;  /* conversations of this direction that fail, although nothing of them is known to die anywhere */
	bool placed;       /* the place is known: between two points of the path */
	uint8_t after, before;
	bool partial;
	uint8_t cut_dir, cut; /* the cut it stands for; NO_CUT = none */
	kind_mask explained;  /* dies in the same place, and another cause accounts for it */
	kind_mask back;       /* of these the other direction dies of this as well: a router's next hop cannot answer it */
	int unheard;          /* the end that did not report, -1 = not about that */
	int drop_party;       /* whose kernel or rule dropped it, -1 = not known */
	uint8_t odd;          /* enum oddity: it arrives, but not as it should; 0 = it is lost */
	uint32_t amount;      /* of it, as in struct odd */
	bool around;          /* there and back together */
};

static inline kind_mask problem_kinds(const struct problem *p) { return p->probes | p->answers | p->starts; }
size_t problems_find(const struct dossier *d, const struct verdict *v, struct problem *out, size_t max);
/* The kind of the flow that a row of drops or traced rules speaks of, when those packets are a part of the problem; else -1. */
int problem_row_kind(const struct dossier *d, const struct problem *p, uint8_t flow, uint8_t part, seqset seqs);
void problem_limit(struct problem *p, kind_mask kinds); /* leaves these kinds only */

/* ---- machines, addresses, interfaces ---- */

static inline int dir_src(int dir) { return dir == 0 ? PARTY_A : PARTY_B; }
static inline int dir_dst(int dir) { return dir == 0 ? PARTY_B : PARTY_A; }
kind_mask kinds_of_family(int family);
kind_mask kinds_of_proto(enum proto proto);
kind_mask kinds_large(void); /* fragments, too */
kind_mask kinds_fragments(void);
int point_party(const struct dossier *d, const struct verdict *v, int dir, size_t i); /* -1 = not one of the parties */
/* Facts that may be relied on: read in this round. NULL = none. */
const struct snapshot *party_facts(const struct dossier *d, int party);
const char *party_if(const struct dossier *d, int party);
struct prefix party_prefix(const struct dossier *d, int party, int family); /* as probed: now or last */
const struct link *party_link(const struct dossier *d, int party);          /* its probed interface, NULL = not known */
const struct flow *flow_of(const struct dossier *d, int kind, int dir);     /* not a ladder; NULL = none */
int party_of_ip(const struct dossier *d, struct ip ip);                     /* who has it by its facts; -1 = none of them */
/* The neighbour entry of `party` for the next hop of what travels in `dir`, and the interface it leaves by. NULL = not known. */
const struct neigh *next_hop_neigh(const struct dossier *d, int party, int dir, int family, const struct link **out);

/* ---- bindings: what an inquiry learned that a fix or a sentence needs, by name; several values per name ---- */

struct bindings {
	size_t count, cap;
	struct binding {
		char *key, *value;
	} * items;
};
const char *bindings_get(const struct bindings *b, const char *key); /* the first value, NULL = none */
void bindings_add(struct bindings *b, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void bindings_free(struct bindings *b);

/* ---- filter.c: the firewall rules on the stretch where a problem's packets die ---- */

enum hit_layer {
	HIT_IP,
	HIT_BRIDGED_IP, /* an IP chain that sees bridged frames */
	HIT_ROUTED,     /* an IP chain, for what the machine routes for others */
	HIT_L2,
	HIT_NEIGH
};

struct hit {
	int party;
	uint8_t kind;
	bool answer;
	uint8_t layer;         /* enum hit_layer */
	bool foreseen;         /* not seen to die here, but it would */
	bool sure;             /* stops it, or stops some of it where some of it dies */
	bool traced;           /* seen to stop it, whatever reading the rules says */
	bool fits;             /* may stop it, and would stop just what dies and nothing that passes */
	int asked;             /* ARP seen from a machine's own chains: whose address is looked for; else -1 */
	const char *iif, *oif; /* as that chain sees them */
	struct fw_decision decision;
};
#define HITS_MAX 256

struct hits {
	size_t count;
	struct hit item[HITS_MAX];
};
/* A VLAN and its device, a bond and its port, the two of a pair, a tunnel and what carries it: the packet is the same, or hidden
 * in another one, and no chain but the devices' own sees it in between. */
bool links_are_stacked(const struct snapshot *s, const struct link *a, const struct link *b);
void hits_find(const struct dossier *d, const struct verdict *v, const struct problem *p, struct hits *out);
/* What one machine's own chains do to ARP or ND (`kind`), wherever the packets die: to the requests it gets and the replies it
 * makes, or the reverse. */
void hits_neighbour(const struct dossier *d, const struct problem *p, int party, int kind, bool answers_others, struct hits *out);

/* ---- evidence ---- */

struct inquiry {
	const struct dossier *d;
	const struct verdict *v;
	const struct problem *p;
	const struct hits *hits;
	int src, dst; /* between whom the dying packets travel */
	int who;      /* the machine in mind */
	struct bindings *learned;
};

/* Whose agent is to be blamed for the end that is not heard: itself, or its silent relay; -1 = not about that. */
int inquiry_unheard(const struct inquiry *q);
void filter_bind(const struct inquiry *q, const struct hit *h); /* "component": the chain that stops it */
/* The address under which an end sees all that the other one sends, when it is not the one it was sent with; family 0 = it is. */
struct ip seen_otherwise(const struct dossier *d, int who);
/* Where `who` sends what is for the other end: its answers to whom it saw. */
struct ip other_ip(const struct inquiry *q, int family);
bool dies_behind(const struct inquiry *q, int party); /* what dies has come as far as to that machine */
static inline int other_end(const struct inquiry *q) { return q->who == q->src ? q->dst : q->src; }
static inline const char *name_of(const struct inquiry *q, int party) { return party < 0 ? "?" : q->d->party[party].name; }
static inline kind_mask dying(const struct inquiry *q) { return problem_kinds(q->p); }

struct entry;
struct finding {
	enum tri is;
	kind_mask kinds; /* when yes: which of the problem's kinds it accounts for */
	bool weak;       /* circumstantial: it has half its weight */
	char text[480];  /* what was found, with names and numbers; "" = nothing to say */
};
void find_yes(struct finding *f, kind_mask kinds, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void find_no(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void find_unknown(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

typedef void evidence_fn(const struct inquiry *q, struct finding *f);
struct evidence {
	const char *name;
	evidence_fn *find;
	const char *reads; /* what it looks at */
	const char *doc;   /* one sentence: what it says when it says yes */
};
struct evidence_table {
	const struct evidence *items;
	size_t count;
};
extern const struct evidence_table evidence_vport, evidence_vswitch, evidence_swport;
extern const struct evidence_table evidence_place, evidence_filter, evidence_drops, evidence_address, evidence_neigh, evidence_link,
    evidence_agent, evidence_vlan, evidence_route, evidence_tunnel, evidence_config, evidence_policy, evidence_nat, evidence_told,
    evidence_mtu, evidence_service;
extern const struct evidence_table evidence_flux, evidence_l2, evidence_spoof, evidence_twins, evidence_attack;
/* A step on the stretch between two interfaces of `who`. */
struct crossing {
	const struct link *in, *out;
	uint8_t in_role, out_role; /* enum point_role */
};
typedef bool crossing_fn(const struct inquiry *q, const struct crossing *c);
bool crossing_find(const struct inquiry *q, crossing_fn *is, struct crossing *c); /* the first of which `is` holds */
/* The packet of a hit as its chain sees it; false: nobody knows. */
bool hit_packet(const struct inquiry *q, const struct hit *h, struct fw_packet *k);
bool hit_lets(const struct inquiry *q, const struct hit *h, const struct fw_packet *k); /* that chain would let this one through */
/* ---- evidence_place.c: of what dies in its sender's own stack, what its routes and filters stop before any neighbour matters. The
 * other end has no part in that. */
kind_mask stopped_at_home(const struct inquiry *q);
kind_mask refused_by_route(const struct inquiry *q); /* of that, what no filter of the sender sees: a route refuses it first */
/* ---- evidence_neigh.c: whose hardware address that is ---- */
bool mac_of_party(const struct dossier *d, int party, struct mac m);
const struct owner *mac_owner(const struct dossier *d, struct mac m, bool anywhere); /* NULL = nobody's */
/* ---- evidence_quality.c: what arrives and is odd ---- */
extern const struct evidence_table evidence_quality;
/* An interface of `who` on the stretch is limited, and packets wait or are lost there. */
bool queue_is_limited(const struct inquiry *q, struct finding *f);
bool entry_is_of_quality(const struct entry *e); /* it speaks of what arrives: others are not asked about an oddity */
/* Kinds of which the kernel of `who` says that a filter dropped them. */
kind_mask said_by_filter(const struct inquiry *q);
/* Binds "restore": gives the address of `now` the shorter prefix it had, or its peer has. */
void prefix_bind_shorter(const struct inquiry *q, struct prefix now);
const struct evidence *evidence_find(const char *name); /* NULL = no such evidence */

/* ---- platform.c: what platforms and switches say of the machines of a problem; NULL = nothing is known ---- */

#define SOURCES_OF_MAX (PARTIES_MAX + 1)
size_t sources_of(const struct inquiry *q, const struct snapshot *out[SOURCES_OF_MAX]);
bool party_is_called(const struct inquiry *q, int party, const char *name);
const struct vport *vport_of(const struct inquiry *q, int end);
bool vport_same(const struct vport *a, const struct vport *b);                      /* told by two, or twice by one */
const struct vport *vport_next(const struct inquiry *q, const struct vport *after); /* every one; NULL = the first; the last */
const struct vswitch *vswitch_of(const struct inquiry *q, const struct vport *v);   /* v may be NULL */
const struct swport *swport_of(const struct inquiry *q, int end);                   /* where its host is plugged in */
const struct pnote *pnote_of(const struct inquiry *q, int end, const char *const *codes /* up to NULL; "x.*" */);
/* Binds "component", "platform.at" and, by platform, the names that its commands want: libvirt.{vm,nic,net}, proxmox.{id,nic,plain,
 * base,fresh,unmodelled}, vmware.{vm,nic,net,switch,host}, hyperv.{vm,nic,net,switch,host};
 * is.PLATFORM is an empty text. */
void vport_bind(const struct inquiry *q, int end, const struct vport *v);

/* ---- history.c: what it was before somebody changed it ---- */

const struct fact_change *history_last(const struct party *p, const char *key); /* the newest change, NULL = none */
/* Binds "restore": arguments to `ip` that bring back the addresses and routes which `who` lost on its probed interface. */
void history_restore(const struct inquiry *q, int families /* bit 0: IPv4, bit 1: IPv6 */);
/* Its link-local IPv6 address, too: the kernel makes one only when the interface is switched on. */
void history_restore_link_local(const struct inquiry *q);
void history_restore_on(const struct inquiry *q, const char *ifname, int families); /* on another one of its interfaces */
/* Default routes that others on the same subnet use; family 0 = nobody says. */
struct ip gateway_of_others(const struct inquiry *q, int family);
/* Arguments to `ip` for a route that `who` had towards `dst` by that interface, of that prefix length or longer, and lost. */
bool history_lost_route(const struct inquiry *q, const char *ifname, struct ip dst, uint8_t longer, char *out, size_t size);

/* ---- sentence.c ---- */

/* The verdict in plain words; `main` is the problem to name (NULL = none is known). Owned by the caller. */
char *sentence_make(const struct dossier *d, const struct verdict *v, const struct problem *main);

/* ---- catalogue.c ---- */

enum where_role { WHERE_SRC, WHERE_DST, WHERE_SRC_HOST, WHERE_DST_HOST, WHERE_ROUTER, WHERE_COUNT };
#define EVIDENCE_MAX  8
#define FIXES_MAX     16
#define CONFUSED_MAX  8
#define NEEDS_MAX     4
#define SOURCES_MAX   8
#define PLATFORMS_MAX 12
#define ASKS_MAX      4

struct weighed {
	const struct evidence *evidence;
	double weight;
};
struct remedy {
	char *at;       /* binding that names the machine */
	char *command;  /* template */
	char *platform; /* NULL = any Linux */
	bool manual;
	char *shown; /* for `bothways causes` */
};

struct entry {
	char *id, *title, *explanation, *category, *severity, *verify;
	int line;
	double prior;
	double shift; /* of this fleet's experience, within CATALOGUE_SHIFT_MAX; 0 = none */
	size_t where_count;
	uint8_t where[WHERE_COUNT];
	char *blames; /* binding that names who is to blame; NULL = who */
	size_t requires_count, supports_count, contradicts_count;
	struct weighed requires[EVIDENCE_MAX], supports[EVIDENCE_MAX], contradicts[EVIDENCE_MAX];
	size_t fix_count;
	struct remedy fixes[FIXES_MAX];
	size_t confused_count, part_of_count;
	char *confused[CONFUSED_MAX];
	char *part_of[CONFUSED_MAX];     /* not told beside one of these, when the same component does both */
	char *title_zh, *explanation_zh; /* NULL = not translated */
	size_t needs_count, source_count;
	char *needs[NEEDS_MAX];     /* what must be known of the platform, or this cause is never judged */
	char *sources[SOURCES_MAX]; /* where it is described */
	size_t platform_count, ask_count;
	char *platforms[PLATFORMS_MAX];
	char *asks[ASKS_MAX];               /* stages of a round that tell it from what it is easily taken for */
	char *unlike;                       /* why nothing is easily taken for it; NULL = confused_with names what is */
	bool asked;                         /* told in the direction of the requests, also when answers are what dies */
	const char *names[3][EVIDENCE_MAX]; /* for catalogue_get, as are: */
	double weights[3][EVIDENCE_MAX];
	const char *fix_texts[FIXES_MAX];
};
const struct entry *catalogue_entry(const struct catalogue *c, size_t i);

/* ---- score.c ---- */

#define NAMED_FROM 0.6 /* below this confidence nothing is named */

struct texts {
	size_t count, cap;
	char **items;
};
void texts_add(struct texts *t, const char *text); /* once each */
void texts_free(struct texts *t);

struct candidate {
	const struct entry *entry;
	int who;
	enum tri fits;   /* yes: all that is required holds; unknown: nothing speaks against it */
	double odds;     /* log */
	kind_mask kinds; /* it accounts for */
	size_t yes;      /* required evidence that holds */
	struct texts for_text, against_text;
	char *no, *unknown; /* the first required evidence that fails; that is not known */
	struct bindings learned;
	double partial; /* taken away because it accounts for a part only */
	bool kept;      /* the ledger, too: */
	struct ledger_line *lines;
	size_t line_count, line_cap;
};
/* What one entry has to say about one problem: the best of the roles it may blame, or `only` that machine (-1 = any); who < 0: it
 * cannot blame it. Owned by the caller. */
void candidate_weigh(const struct entry *e, const struct dossier *d, const struct verdict *v, const struct problem *p,
                     const struct hits *hits, int only, struct candidate *out);
void candidate_clear(struct candidate *c);
double candidate_confidence(const struct candidate *c);
bool candidate_is_named(const struct candidate *c); /* it fits, and what was seen is enough to say so */

/* ---- why.c ---- */

/* Notes one line, if the candidate keeps a ledger. */
void ledger_add(struct candidate *c, enum ledger_part part, const struct weighed *w, const struct finding *f, double added);
struct weighed_candidate {
	struct candidate *candidate;
	const char *where;
	double agreement; /* added because other problems agree */
	bool won;
};
/* Adds a problem's ledgers to the verdict: they move there. */
void weighing_take(struct verdict *v, const struct problem *p, const struct weighed_candidate *of, size_t count);
/* Adds the likeliest causes of a problem that has none. */
void left_take(struct verdict *v, const struct weighed_candidate *of, size_t count);

/* ---- fix.c ---- */

/* Fills a template from bindings; a name with several values repeats the command, joined by " && ". NULL = a name is not bound. */
char *template_fill(const char *template, const struct bindings *b);
void fixes_make(const struct candidate *c, const struct snapshot *facts, struct cause *out); /* appends, once each */
/* Binds "accept": rules, as for `nft insert rule`, that let this problem's packets through the chains which stop them. */
void accepts_bind(const struct inquiry *q, const struct hits *hits, unsigned layers /* bit per enum hit_layer */);

#endif
