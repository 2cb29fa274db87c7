/* libfyaml forgets a stack when it gives up deeply nested input. Once per run, with a bounded file: let it be. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libfyaml"; }
