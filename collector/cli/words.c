#include "collector/cli/words.h"

#include "collector/cli/lang.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *en, *zh;
} WORDS[] = {
    /* states */
    {"ok", "正常"},
    {"one-way", "单向不通"},
    {"both-ways", "双向不通"},
    {"degraded", "质量下降"},
    {"undetermined", "无法判定"},
    /* cells */
    {"lost", "丢失"},
    {"fail", "失败"},
    {"partial", "部分丢失"},
    {"slow", "过慢"},
    {"refused", "被拒绝"},
    {"reply-only", "仅能应答"},
    {"impostor", "他人应答"},
    {"skipped", "未测"},
    {"unknown", "未知"},
    {"cannot start", "无法发起"},
    {"partly lost", "部分丢失"},
    {"late", "迟到"},
    {"only as a reply", "仅作为应答可达"},
    {"answered by another machine", "由另一台机器应答"},
    {"arrives", "可达"},
    {"can start", "可发起"},
    /* directions */
    {"lost here", "在此丢失"},
    {"partly lost here", "在此部分丢失"},
    {"the answers to ", "应答："},
    {"all", "全部"},
    {", before ", "，位于此点之前："},
    {"kernel", "内核"},
    {"rule", "规则"},
    {" of ", " "},
    {"seen", "次可见"},
    {"nobody looks here", "此处无观测"},
    {"works", "正常"},
    {"is not known", "未知"},
    {", although all arrives", "，尽管全部到达"},
    {"  train of %lld: %.2f %% lost, round trip %.2f ms (usual %.2f), jitter %.2f ms, %lld twice, %lld out of order, %lld "
     "damaged\n",
     "  探测列车 %lld 个：丢失 %.2f %%，往返 %.2f ms（平常 %.2f），抖动 %.2f ms，重复 %lld，乱序 %lld，损坏 %lld\n"},
    {"  a burst passes at %lld kbit/s and waits up to %.1f ms\n", "  突发流量以 %lld kbit/s 通过，最多等待 %.1f ms\n"},
    {", there and back", "，往返合计"},
    {"loss", "丢包"},
    {"delay", "时延"},
    {"jitter", "抖动"},
    {"reorder", "乱序"},
    {"duplicates", "重复"},
    {"damage", "损坏"},
    {"queue", "排队"},
    {"works, but answers to %s are lost", "正常，但 %s 的应答丢失"},
    {"%lld of %lld probes arrived", "探测到达 %lld / %lld"},
    {"the path is not known", "路径未知"},
    {"no more is known", "没有更多信息"},
    {"%s is lost between %s and %s", "%s 在 %s 与 %s 之间丢失"},
    {"All that was measured works in both directions.", "所测的一切在两个方向上都正常。"},
    /* causes */
    {"Cause", "原因"},
    {" at ", " 位于 "},
    {"   %.0f %% sure\n", "   把握 %.0f %%\n"},
    {"  for", "  依据"},
    {"  against", "  反证"},
    {"  fix", "  修复"},
    {"at", "在"},
    {"on", "在"},
    {" %s:\n", " %s 上：\n"},
    {"  verify", "  验证"},
    {"Or maybe", "也可能"},
    {"Possible", "可能"},
    {"undetermined: nothing in the catalogue fits. The place above is where to look.",
     "无法判定：目录中没有相符的原因。请从上面指出的位置查起。"},
    {"Ruled out", "已排除"},
    {"and %zu more (--json has all)\n", "另有 %zu 项（--json 列出全部）\n"},
    {"Changed", "变化"},
    {"absent", "无"},
    {"Note", "说明"},
    {"\nmeasured in %lld ms (round %s)\n", "\n测量用时 %lld 毫秒（轮次 %s）\n"},
    {"no reason given", "未说明原因"},
    {"Why", "推算"},
    {"Missing: ", "还缺："},
    /* the arithmetic */
    {"prior", "先验"},
    {"experience", "经验"},
    {"requires", "必需"},
    {"supports", "支持"},
    {"contradicts", "反对"},
    {"a part only", "仅部分"},
    {"agreement", "他处一致"},
    {"sum", "合计"},
    {"yes", "是"},
    {"no", "否"},
    {"fits", "相符"},
    {"does not fit", "不符"},
    {"fits, and is not sure enough", "相符，但把握不足"},
    {"cannot be told", "无从判断"},
    {"named", "判定"},
    /* the catalogue */
    {"CAUSE", "原因"},
    {"SEVERITY", "严重程度"},
    {"WHAT IT IS", "说明"},
    {"info", "提示"},
    {"low", "低"},
    {"medium", "中"},
    {"high", "高"},
    {"critical", "严重"},
    {"Platforms", "平台"},
    {"Needs", "前提"},
    {"Evidence", "证据"},
    {"Alike", "易混淆"},
    {"Fix", "修复"},
    {"Verify", "验证"},
    {"Asks for", "追加探测"},
    {"Sources", "来源"},
    {"must hold", "必须成立"},
    {"speaks for it", "支持"},
    {"rules it out", "排除"},
    {"here: ", "本原因："},
    {"there: ", "对方："},
    {"by hand: ", "手工："},
    {"%zu causes. `bothways causes ID` explains one, `bothways causes CATEGORY` lists one category.\n",
     "共 %zu 个原因。`bothways causes ID` 查看一个，`bothways causes CATEGORY` 列出一类。\n"},
    {"address-config", "地址配置"},
    {"duplicate-addr", "地址重复"},
    {"arp-nd", "ARP 与邻居发现"},
    {"attack", "攻击"},
    {"l2-bridge-vswitch", "二层网桥与虚拟交换机"},
    {"loop-storm", "环路与风暴"},
    {"vlan", "VLAN"},
    {"routing-rpfilter", "路由与反向路径过滤"},
    {"nat-conntrack", "NAT 与连接跟踪"},
    {"mtu", "MTU"},
    {"firewall-guest", "虚拟机防火墙"},
    {"firewall-host", "宿主机防火墙"},
    {"service-port", "服务与端口"},
    {"vnic-queue", "虚拟网卡与队列"},
    {"cpu-sched", "CPU 与调度"},
    {"driver-offload", "驱动与卸载"},
    {"security-group-antispoof", "安全组与防欺骗"},
    {"physical", "物理链路"},
    {"time-agent", "时间与 agent"},
    {"platform-isolation", "平台隔离"},
    /* kinds */
    {"everything", "全部"},
    {"IP packets", "IP 报文"},
    {"IPv4 packets", "IPv4 报文"},
    {"IPv6 packets", "IPv6 报文"},
    {"large packets", "大报文"},
    {"small packets", "小报文"},
    {"large IPv4 packets", "IPv4 大报文"},
    {"large IPv6 packets", "IPv6 大报文"},
    {"neighbour discovery", "邻居发现"},
    {"small ICMP", "小 ICMP"},
    {"small UDP", "小 UDP"},
    {"large ICMP", "大 ICMP"},
    {"large UDP", "大 UDP"},
    {"small IPv4 ICMP", "IPv4 小 ICMP"},
    {"small IPv6 ICMP", "IPv6 小 ICMP"},
    {"large IPv4 ICMP", "IPv4 大 ICMP"},
    {"large IPv6 ICMP", "IPv6 大 ICMP"},
    {"small IPv4 UDP", "IPv4 小 UDP"},
    {"small IPv6 UDP", "IPv6 小 UDP"},
    {"large IPv4 UDP", "IPv4 大 UDP"},
    {"large IPv6 UDP", "IPv6 大 UDP"},
    {"the service over IPv4", "IPv4 上的服务"},
    {"the service over IPv6", "IPv6 上的服务"},
    {"fragments", "分片报文"},
    {"IPv4 fragments", "IPv4 分片"},
    {"IPv6 fragments", "IPv6 分片"},
};

const char *say(const struct out *o, const char *english)
{
	for (size_t i = 0; o->zh && i < sizeof WORDS / sizeof *WORDS; i++) {
		if (strcmp(WORDS[i].en, english) == 0)
			return WORDS[i].zh;
	}
	return english;
}

const char *say_kinds(const struct out *o, kind_mask kinds, char *out, size_t size)
{
	char english[KINDS_TEXT_MAX], *rest = english, *part;
	kinds_text(kinds, english, sizeof english);
	out[0] = '\0';
	while ((part = rest) && *part) {
		rest = strstr(part, ", ");
		if (rest) {
			*rest = '\0';
			rest += 2;
		}
		size_t n = strlen(out);
		snprintf(out + n, size - n, "%s%s", !n ? "" : o->zh ? "、" : ", ", say(o, part));
	}
	return out;
}

const char *say_text(const struct out *o, const json_t *part, const char *key)
{
	return lang_text(part, key, o->zh ? LANG_ZH : LANG_EN);
}
