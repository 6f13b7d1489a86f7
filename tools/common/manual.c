/* The man page in troff, from the tables of the verbs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/manual.h"

/* Text with troff's special characters escaped, line by line. */
static void put_text(const char *s, FILE *out)
{
    bool start = true;
    for (; *s; s++) {
        if (start && (*s == '.' || *s == '\''))
            fputs("\\&", out);
        if (*s == '\\')
            fputs("\\e", out);
        else if (*s == '-')
            fputs("\\-", out);
        else
            fputc(*s, out);
        start = *s == '\n';
    }
}

static void put_options(const opt *o, FILE *out)
{
    for (; o && o->name; o++) {
        fputs(".TP\n", out);
        if (o->letter)
            fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
        fputs("\\fB\\-\\-", out);
        put_text(o->name, out);
        fprintf(out, "\\fR%s%s\n", o->arg ? " " : "", o->arg ? o->arg : "");
        put_text(o->help, out);
        fputc('\n', out);
    }
}

static void put_verb(const verb *v, FILE *out)
{
    fprintf(out, ".SS planish %s ", v->name);
    put_text(v->synopsis, out);
    fputs("\n", out);
    put_text(v->brief, out);
    fputs("\n", out);
    put_options(v->opts, out);
    if (!v->details)
        return;
    fputs(".PP\n.nf\n", out);
    put_text(v->details, out);
    fputs(".fi\n", out);
}

int manual_print(const verb *const *verbs, FILE *out)
{
    static const struct {
        const char *code, *when;
    } codes[] = {
        { "0", "done" },
        { "1", "the answer is no: models differ, a test failed, the model is invalid" },
        { "2", "wrong option or verb" },
        { "3", "a file can't be read or is malformed; a wrong input" },
        { "4", "an operator, type or feature can't be run here" },
        { "5", "it failed while running" },
        { "6", "a limit was reached, or the run was cancelled" },
    };
    fprintf(out, ".TH PLANISH 1 \"\" \"planish %s\"\n.SH NAME\n", pln_version_string());
    fputs("planish \\- read, rewrite and run ONNX models\n.SH SYNOPSIS\n"
          ".B planish\n.I VERB\n[options] ARGS\n.SH VERBS\n", out);
    for (size_t i = 0; verbs[i]; i++)
        put_verb(verbs[i], out);
    fputs(".SH COMMON OPTIONS\n", out);
    put_options(common_opts, out);
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        fprintf(out, ".TP\n%s\n%s\n", codes[i].code, codes[i].when);
    fputs(".SH ENVIRONMENT\n.TP\n.B PLN_DEVICE\nref, cpu or dnnl: what may run nodes\n"
          ".TP\n.B PLN_CPU\nc, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16 or amx: "
          "the instruction set of the kernels is lowered to it\n.TP\n.B PLN_DEBUG\n"
          "switches of the rewriter; planish optimize \\-\\-help\\-debug lists them\n"
          ".TP\n.B NO_COLOR\nno colours\n", out);
    return ferror(out) ? 3 : 0;
}
