/* Tokens of the textual syntax.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_LEX_H
#define PLN_IR_LEX_H

#include <locale.h>

#include "src/util/arena.h"
#include "src/util/status.h"

typedef struct lex {
    const char *text;
    size_t len, pos;
    pln_arena *arena; /* of the words */
    locale_t locale;  /* "C", for numbers */
    pln_error *err;
} lex;

typedef struct lex_word {
    const char *s; /* in the text or the arena */
    size_t len;
} lex_word;

typedef enum lex_kind { LEX_INT, LEX_FLOAT, LEX_STRING } lex_kind;

typedef struct lex_literal {
    lex_kind kind;
    lex_word word;  /* digits, or the bytes of a string */
    lex_word bits;  /* exact bytes of a float, big-endian; len 0: none given */
} lex_literal;

/* PLN_E_FORMAT with line and column of the position in front. */
pln_status lex_fail(lex *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Next character after blanks and comments, 0 at the end. */
int lex_peek(lex *l);
bool lex_take(lex *l, char c);
pln_status lex_expect(lex *l, char c);
/* An identifier is next: as it is in the text, not consumed. */
bool lex_peek_word(lex *l, lex_word *out);
/* len 0: none there. */
pln_status lex_optional_identifier(lex *l, lex_word *out);
pln_status lex_identifier(lex *l, lex_word *out);
pln_status lex_string(lex *l, lex_word *out);
/* An identifier or a string. */
pln_status lex_name(lex *l, lex_word *out);
pln_status lex_literal_next(lex *l, lex_literal *out);
bool lex_is(lex_word w, const char *s);

pln_status lex_to_i64(lex *l, lex_word w, int64_t *out);
pln_status lex_to_u64(lex *l, lex_word w, uint64_t *out);
pln_status lex_i64(lex *l, int64_t *out);
/* Of a number literal. */
pln_status lex_to_f32(lex *l, const lex_literal *v, float *out);
pln_status lex_to_f64(lex *l, const lex_literal *v, double *out);

#endif
