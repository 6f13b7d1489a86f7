/* Planish: read, rewrite and run ONNX models.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     #include <planish/planish.h>
 *
 *     pln_error *err = pln_error_new();
 *     pln_model *model = NULL;
 *     pln_session *session = NULL;
 *     pln_run *run = NULL;
 *     if (pln_model_load(NULL, "model.onnx", NULL, &model, err) == PLN_OK &&
 *         pln_session_new(model, NULL, &session, err) == PLN_OK &&
 *         pln_run_new(session, &run, err) == PLN_OK &&
 *         pln_run_bind_input(run, "x", x, err) == PLN_OK &&
 *         pln_run_execute(run, NULL, err) == PLN_OK)
 *             use(pln_run_output(run, "y"));
 *     else
 *             fprintf(stderr, "%s\n", pln_error_text(err));
 *
 * Ownership: `_new`, `_load` and `_ref` give the caller an object that the matching
 * `_free` or `_unref` releases; `_free(NULL)` is allowed. A pointer to const that a
 * function returns lives as long as the object it was asked of. Out parameters are set
 * to NULL (or zero) on failure. No call keeps a pointer of the caller's beyond its
 * return, but where its comment says so.
 *
 * Threads: an environment, a model that is no longer being changed, and a session may be
 * used by several threads at once. A run, an error and a tensor under construction
 * belong to one thread; reference counts are atomic. pln_run_cancel() may be called
 * from any thread. A child of fork() may use what its parent has made, unless another
 * thread was in a call on it.
 *
 * Structs that are passed in begin with `struct_size`; fill them from the PLN_..._INIT
 * macro, so that later versions can add fields.
 */
#ifndef PLANISH_PLANISH_H
#define PLANISH_PLANISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(PLN_STATIC)
#define PLN_API
#else
#define PLN_API __attribute__((visibility("default")))
#endif

/* ---- status and errors ------------------------------------------------------------ */

/** What a call came to. New codes are only ever appended. */
typedef enum pln_status {
    PLN_OK = 0,       /**< done */
    PLN_E_USAGE = 1,  /**< the call itself is wrong: option, name, NULL, wrong state */
    PLN_E_IO = 2,     /**< a file can't be read or written */
    PLN_E_FORMAT = 3, /**< a file is malformed, or its graph breaks the standard */
    PLN_E_INPUT = 4,  /**< a model input has an unknown name, wrong type or shape */
    PLN_E_UNSUPPORTED = 5, /**< an operator, type or feature can't be run here */
    PLN_E_RUN = 6,      /**< failed while running: bad index in the data and the like */
    PLN_E_LIMIT = 7,    /**< a limit was reached: memory, nesting, size, time */
    PLN_E_NOMEM = 8,    /**< the allocator returned NULL */
    PLN_E_CANCELLED = 9 /**< pln_run_cancel() or a progress callback stopped it */
} pln_status;

/** One error, owned by the caller, reusable: each call that takes it clears it first.
 * NULL is allowed wherever an error is taken. */
typedef struct pln_error pln_error;

PLN_API pln_error *pln_error_new(void);
PLN_API void pln_error_free(pln_error *err);
/** The status of the last failed call that was given `err`; PLN_OK if it succeeded. */
PLN_API pln_status pln_error_code(const pln_error *err);
/** One line, UTF-8, control bytes escaped, under 512 bytes; "" when there is no error. */
PLN_API const char *pln_error_text(const pln_error *err);
/** The place: key is "node", "op", "tensor" or "file"; NULL where it does not apply. */
PLN_API const char *pln_error_get(const pln_error *err, const char *key);
/** Byte offset in the file, or -1. */
PLN_API int64_t pln_error_offset(const pln_error *err);
/** The exit code that the `planish` command gives for a status (contract: 0, 2 to 6). */
PLN_API int pln_status_exit_code(pln_status st);
/** The enumerator's name, "PLN_E_FORMAT". Never NULL. */
PLN_API const char *pln_status_name(pln_status st);

/** Version of the library that is linked, (major << 16) | (minor << 8) | patch. */
PLN_API uint32_t pln_version(void);
/** "0.1.0". */
PLN_API const char *pln_version_string(void);
/** The instruction set that the library's own kernels use, after PLN_CPU: "avx2", ... */
PLN_API const char *pln_cpu_name(void);
/** For messages: the name nearest to `word` in a list that ends with NULL; NULL when none
 * is near. */
PLN_API const char *pln_suggest(const char *word, const char *const *names);

/* ---- types ------------------------------------------------------------------------ */

/** Element types; the numbers are those of ONNX's TensorProto.DataType. */
typedef enum pln_dtype {
    PLN_DT_NONE = 0,
    PLN_DT_F32 = 1,
    PLN_DT_U8 = 2,
    PLN_DT_S8 = 3,
    PLN_DT_U16 = 4,
    PLN_DT_S16 = 5,
    PLN_DT_S32 = 6,
    PLN_DT_S64 = 7,
    PLN_DT_STRING = 8,
    PLN_DT_BOOL = 9,
    PLN_DT_F16 = 10,
    PLN_DT_F64 = 11,
    PLN_DT_U32 = 12,
    PLN_DT_U64 = 13,
    PLN_DT_C64 = 14,  /**< complex of two float */
    PLN_DT_C128 = 15, /**< complex of two double */
    PLN_DT_BF16 = 16,
    PLN_DT_F8E4M3FN = 17,
    PLN_DT_F8E4M3FNUZ = 18,
    PLN_DT_F8E5M2 = 19,
    PLN_DT_F8E5M2FNUZ = 20,
    PLN_DT_U4 = 21,
    PLN_DT_S4 = 22,
    PLN_DT_F4E2M1 = 23,
    PLN_DT_F8E8M0 = 24,
    PLN_DT_U2 = 25,
    PLN_DT_S2 = 26,
    PLN_DT_F6E2M3 = 27,
    PLN_DT_F6E3M2 = 28,
    PLN_DT_COUNT
} pln_dtype;

/** What a run-time value is. */
typedef enum pln_kind {
    PLN_KIND_NONE = 0,     /**< unknown, or an absent value */
    PLN_KIND_TENSOR = 1,   /**< dense, row-major */
    PLN_KIND_SEQUENCE = 2, /**< of any kind */
    PLN_KIND_OPTIONAL = 3, /**< holds nothing or one value */
    PLN_KIND_MAP = 4,      /**< keys (int64 or string tensor) to values */
    PLN_KIND_SPARSE = 5    /**< values and indices of a sparse tensor */
} pln_kind;

/** Name as in ONNX's text form ("float", "int64", "bfloat16", ...). Never NULL. */
PLN_API const char *pln_dtype_name(pln_dtype dt);
/** Bytes of one element in memory (6-bit, 4-bit and 2-bit types take a byte each); a
 * string element is a pointer. 0 for PLN_DT_NONE. */
PLN_API size_t pln_dtype_size(pln_dtype dt);

/* ---- environment ------------------------------------------------------------------ */

/** Allocator, log and limits shared by what is made from it; reference counted by its
 * models. NULL stands for a default environment everywhere. */
typedef struct pln_env pln_env;

/** Memory callbacks; all three or none. They may be called from any thread. */
typedef struct pln_allocator {
    /** `align` is a power of two. Returns NULL when there is no memory. */
    void *(*alloc)(void *user, size_t size, size_t align);
    void (*free)(void *user, void *ptr);
    void *user;
} pln_allocator;

typedef enum pln_log_level {
    PLN_LOG_ERROR = 0,
    PLN_LOG_WARN = 1,
    PLN_LOG_INFO = 2,
    PLN_LOG_DEBUG = 3
} pln_log_level;

typedef void (*pln_log_fn)(void *user, pln_log_level level, const char *text);

/** Bounds on what a file may ask for; 0 is the default of each. */
typedef struct pln_limits {
    uint64_t file_bytes;   /**< of one model file or external data file (default: none) */
    uint64_t tensor_bytes; /**< of one tensor (default 64 GiB) */
    uint64_t run_bytes;    /**< of activations of one run (default 64 GiB) */
    uint32_t nodes;        /**< of a model, bodies included (default 10 million) */
    uint32_t depth;        /**< nesting of messages and of subgraphs (default 64) */
} pln_limits;

typedef struct pln_env_desc {
    size_t struct_size;
    pln_allocator allocator; /**< all NULL: malloc */
    pln_log_fn log;          /**< NULL: warnings and errors are dropped */
    void *log_user;
    pln_log_level log_level;
    pln_limits limits;
} pln_env_desc;
#define PLN_ENV_DESC_INIT { .struct_size = sizeof(pln_env_desc) }

PLN_API pln_status pln_env_new(const pln_env_desc *desc, pln_env **out, pln_error *err);
PLN_API void pln_env_free(pln_env *env);
/** The newest version of an operator set ("" is ai.onnx) whose meanings are known, with
 * the operators of the environment's own; 0: no operator of that domain is. Models of
 * newer versions are read, as if nothing had changed since. */
PLN_API int64_t pln_env_opset(pln_env *env, const char *domain);
/** Releases memory that a function of this library says is to be freed with pln_free. */
PLN_API void pln_free(pln_env *env, void *ptr);

/* ---- tensors and other run-time values --------------------------------------------- */

/** A run-time value, reference counted. Mostly a dense tensor; pln_tensor_kind() tells
 * when it is a sequence, an optional, a map or a sparse tensor. */
typedef struct pln_tensor pln_tensor;

typedef void (*pln_release_fn)(void *user, void *data);

/** A new tensor with zeroed elements. dims: `rank` non-negative sizes. */
PLN_API pln_status pln_tensor_new(pln_env *env, pln_dtype dt, int rank,
                                  const int64_t *dims, pln_tensor **out, pln_error *err);
/** A tensor over the caller's memory, row-major, aligned to its element; `bytes` is
 * checked against the shape. `release` (may be NULL) is called when the last reference
 * is gone; until then the memory must stay. Not for strings. */
PLN_API pln_status pln_tensor_view(pln_env *env, pln_dtype dt, int rank,
                                   const int64_t *dims, void *data, size_t bytes,
                                   pln_release_fn release, void *user, pln_tensor **out,
                                   pln_error *err);
PLN_API pln_tensor *pln_tensor_ref(pln_tensor *t);
PLN_API void pln_tensor_unref(pln_tensor *t);
PLN_API pln_kind pln_tensor_kind(const pln_tensor *t);
/** Element type; of a map: of its keys. */
PLN_API pln_dtype pln_tensor_dtype(const pln_tensor *t);
PLN_API int pln_tensor_rank(const pln_tensor *t);
/** `rank` sizes. */
PLN_API const int64_t *pln_tensor_dims(const pln_tensor *t);
/** Number of elements of a tensor. */
PLN_API int64_t pln_tensor_count(const pln_tensor *t);
/** Elements, row-major; NULL for strings and for what is not a dense tensor. */
PLN_API void *pln_tensor_data(pln_tensor *t);
PLN_API const void *pln_tensor_data_const(const pln_tensor *t);
/** Element i of a dense numeric tensor as a number (of a complex one its real part); 0
 * for strings. i must be in range. */
PLN_API double pln_tensor_number(const pln_tensor *t, int64_t i);
/** Sets element i of a dense numeric tensor, rounded as ONNX's Cast rounds. */
PLN_API void pln_tensor_set_number(pln_tensor *t, int64_t i, double v);
/** Element i of a string tensor; the bytes are followed by a NUL. */
PLN_API pln_status pln_tensor_string(const pln_tensor *t, int64_t i, const char **text,
                                     size_t *len);
PLN_API pln_status pln_tensor_set_string(pln_tensor *t, int64_t i, const char *text,
                                         size_t len);
/** All elements of a string tensor at once, for other languages: their bytes one after
 * the other in `*bytes` (freed with pln_free(NULL, ...)), element i ending before
 * ends[i]; `ends` has room for all elements. */
PLN_API pln_status pln_tensor_get_strings(const pln_tensor *t, char **bytes,
                                          uint64_t *ends, pln_error *err);
/** Sets all elements from bytes in that form; `ends` must not descend. */
PLN_API pln_status pln_tensor_put_strings(pln_tensor *t, const char *bytes,
                                          const uint64_t *ends, pln_error *err);
/** An empty sequence, optional or map; elements are added with pln_tensor_append(). */
PLN_API pln_status pln_tensor_new_container(pln_env *env, pln_kind kind, pln_tensor **out,
                                            pln_error *err);
/** Adds `item` (referenced) to a sequence, fills an empty optional, gives a map first its
 * keys and then its values (a tensor or a sequence), a sparse tensor values and then
 * indices. */
PLN_API pln_status pln_tensor_append(pln_tensor *container, pln_tensor *item,
                                     pln_error *err);
/** Number of items of a container: of a sequence its length, of an optional 0 or 1, of a
 * map and a sparse tensor 2. */
PLN_API size_t pln_tensor_items(const pln_tensor *t);
/** Item i of a container, borrowed. */
PLN_API pln_tensor *pln_tensor_item(const pln_tensor *t, size_t i);
/** Reads a TensorProto, SequenceProto, MapProto or OptionalProto. */
PLN_API pln_status pln_tensor_parse(pln_env *env, pln_kind kind, const void *data,
                                    size_t len, pln_tensor **out, pln_error *err);
/** Writes it as the matching message; `*data` is freed with pln_free(). `name` may be
 * NULL. */
PLN_API pln_status pln_tensor_serialize(pln_env *env, const pln_tensor *t,
                                        const char *name, void **data, size_t *len,
                                        pln_error *err);

/* ---- models ------------------------------------------------------------------------ */

/** A model: its graph, functions, weights and metadata. */
typedef struct pln_model pln_model;

typedef struct pln_load_options {
    size_t struct_size;
    bool copy;             /**< copy the file into memory instead of mapping it, so that
                                it may change or shrink while the model lives */
    bool no_external;      /**< refuse external data */
    const char *directory; /**< for models from memory: where external data may lie;
                                NULL refuses it */
    /** For models from memory without `copy`: called once with `user` and the bytes when
     * neither the model nor a session or tensor made from it needs them any more, from
     * whatever thread that happens in. Not called when loading fails. */
    pln_release_fn release;
    void *user;
} pln_load_options;
#define PLN_LOAD_OPTIONS_INIT { .struct_size = sizeof(pln_load_options) }

/** Reads an .onnx file. Weights stay in the mapped file until they are needed. */
PLN_API pln_status pln_model_load(pln_env *env, const char *path,
                                  const pln_load_options *options, pln_model **out,
                                  pln_error *err);
/** The same from memory; the bytes must stay until the model and all that was made from
 * it are freed (see options->release), unless options->copy is set. */
PLN_API pln_status pln_model_load_memory(pln_env *env, const void *data, size_t len,
                                         const pln_load_options *options,
                                         pln_model **out, pln_error *err);
PLN_API void pln_model_free(pln_model *model);
/** A copy that may be changed by itself; the weights' bytes are shared. */
PLN_API pln_status pln_model_clone(const pln_model *model, pln_model **out,
                                   pln_error *err);

typedef struct pln_save_options {
    size_t struct_size;
    const char *external_data;   /**< file name beside the model for large weights; NULL:
                                      inside the model, by itself external above 2 GB */
    uint64_t external_threshold; /**< smallest tensor in bytes that goes there; 0: 1024 */
    bool keep_external;          /**< leave unchanged external tensors where they are */
} pln_save_options;
#define PLN_SAVE_OPTIONS_INIT { .struct_size = sizeof(pln_save_options) }

/** Writes to a temporary name beside `path` and renames it: never a partial file. */
PLN_API pln_status pln_model_save(const pln_model *model, const char *path,
                                  const pln_save_options *options, pln_error *err);
PLN_API pln_status pln_model_save_memory(const pln_model *model, void **data, size_t *len,
                                         pln_error *err);

typedef struct pln_print_options {
    size_t struct_size;
    uint32_t inline_limit; /**< most elements of a tensor that is printed inline (16) */
    const char *data_path; /**< file that receives larger tensors; NULL: all inline */
} pln_print_options;
#define PLN_PRINT_OPTIONS_INIT \
    { .struct_size = sizeof(pln_print_options), .inline_limit = 16 }

/** The model in ONNX's textual syntax; `*text` is freed with pln_free(). */
PLN_API pln_status pln_model_print(const pln_model *model,
                                   const pln_print_options *options, char **text,
                                   pln_error *err);
/** Reads the textual syntax; `directory` is where external `location`s lie (may be
 * NULL: refused). */
PLN_API pln_status pln_model_parse(pln_env *env, const char *text, size_t len,
                                   const char *directory, pln_model **out,
                                   pln_error *err);
/** Facts about the model as a JSON object (docs/json.md); freed with pln_free(). */
PLN_API pln_status pln_model_info(const pln_model *model, char **json, pln_error *err);
/** Checks the model against the standard. `*findings` is a JSON array of objects with
 * "node", "op", "text", "severity" ("error" or "note"); `*n_errors` counts the errors. */
PLN_API pln_status pln_model_check(const pln_model *model, char **findings,
                                   size_t *n_errors, pln_error *err);
/** What the file says of itself, as a JSON object (docs/json.md): producer, versions,
 * names and doc strings, operator sets, metadata. Quick: nothing is inferred. Freed with
 * pln_free(). */
PLN_API pln_status pln_model_header(const pln_model *model, char **json, pln_error *err);
/** JSON array of the names of the main graph's values, in order. Freed with
 * pln_free(). */
PLN_API pln_status pln_model_values(const pln_model *model, char **json, pln_error *err);
/** Gives a symbolic dimension a size, in inputs and everywhere. */
PLN_API pln_status pln_model_set_dim(pln_model *model, const char *symbol, int64_t size,
                                     pln_error *err);
/** Replaces the contents of an initializer of the main graph: same element type and
 * shape. The tensor is referenced, not copied, and must not change while the model or a
 * session made of it is used. */
PLN_API pln_status pln_model_set_initializer(pln_model *model, const char *name,
                                             pln_tensor *value, pln_error *err);
/** metadata_props: the value of a key, or NULL. */
PLN_API const char *pln_model_metadata(const pln_model *model, const char *key,
                                       size_t *len);
PLN_API pln_status pln_model_set_metadata(pln_model *model, const char *key,
                                          const char *value, pln_error *err);

/** What is different between two models. `*json` (may be NULL) is a JSON object
 * (docs/json.md); freed with pln_free(). The order of nodes does not count. */
PLN_API pln_status pln_model_diff(const pln_model *a, const pln_model *b, bool *same,
                                  char **json, pln_error *err);

/* ---- editing ----------------------------------------------------------------------- */

/* Each of these changes the model as a whole or, on failure, not at all. */

/** Keeps what is needed to compute the values `outputs` (n_outputs 0: the model's
 * outputs) from the values `inputs` (n_inputs 0: those of the model's inputs that are
 * still needed). A value of the main graph becomes an input of the type that inference
 * gives it. */
PLN_API pln_status pln_model_extract(pln_model *model, const char *const *inputs,
                                     size_t n_inputs, const char *const *outputs,
                                     size_t n_outputs, pln_error *err);

/** What pln_model_rename() looks for. */
typedef enum pln_renamed {
    PLN_RENAME_ANY = 0,   /**< the first of these of which one has the name */
    PLN_RENAME_VALUE = 1, /**< inputs, outputs and values between, bodies included */
    PLN_RENAME_NODE = 2,
    PLN_RENAME_DIM = 3    /**< a symbolic dimension */
} pln_renamed;
/** Everything of that kind called `from` is then called `to`, a name that nothing of the
 * kind may have yet. */
PLN_API pln_status pln_model_rename(pln_model *model, pln_renamed what, const char *from,
                                    const char *to, pln_error *err);

/** Brings the model to a version of ai.onnx, up or down. Operators that it lacks become
 * others where that is possible. PLN_E_UNSUPPORTED when it is not: `*blockers` (may be
 * NULL) is then a JSON array of every node in the way with "node", "op", "domain", "why";
 * NULL on success. Freed with pln_free(). */
PLN_API pln_status pln_model_convert_opset(pln_model *model, int64_t version,
                                           char **blockers, pln_error *err);

typedef struct pln_dtype_options {
    size_t struct_size;
    pln_dtype to;      /**< PLN_DT_F32, PLN_DT_F16 or PLN_DT_BF16 */
    bool keep_io;      /**< inputs and outputs keep their types */
    const char *block; /**< comma-separated names of nodes or operators that compute as
                            before; may be NULL. "none" among them: what does so by itself
                            (Range, CumSum, CumProd, sizes that are computed as floats)
                          does not */
    const char *const *wide; /**< names of values that outgrow the type: the nodes that
                                give or read them compute as before */
    size_t n_wide;
} pln_dtype_options;
#define PLN_DTYPE_OPTIONS_INIT { .struct_size = sizeof(pln_dtype_options) }

/** Weights and computations in another float type: to float from the two short ones, to a
 * short one from float and the other. Operators that don't take the type in the model's
 * operator set, and unknown ones, compute as before, with casts around them. `*report`
 * (may be NULL) is a JSON object (docs/json.md); freed with pln_free(). */
PLN_API pln_status pln_model_convert_dtype(pln_model *model,
                                           const pln_dtype_options *options,
                                           char **report, pln_error *err);

typedef struct pln_reduce_options {
    size_t struct_size;
    /** Does this candidate still show what is sought? 1: yes, 0: no, -1: stop with the
     * best so far. */
    int (*check)(void *user, const pln_model *candidate);
    void *user;
} pln_reduce_options;
#define PLN_REDUCE_OPTIONS_INIT { .struct_size = sizeof(pln_reduce_options) }

/** Makes the model as small as it gets while options->check says yes: nodes, weights,
 * inputs, outputs and attributes are left out, the same way every time. A candidate is as
 * valid as the model was. PLN_E_USAGE when the check says no to the model itself.
 * `*report` (may be NULL): JSON (docs/json.md); freed with pln_free(). */
PLN_API pln_status pln_model_reduce(pln_model *model, const pln_reduce_options *options,
                                    char **report, pln_error *err);

/* ---- rewriting --------------------------------------------------------------------- */

/** What a rewritten file may contain (contract: levels and targets). */
typedef enum pln_target {
    PLN_TARGET_ONNX = 0,   /**< standard operators only */
    PLN_TARGET_ORT = 1,    /**< and com.microsoft */
    PLN_TARGET_PLANISH = 2 /**< and the planish domain */
} pln_target;

/** Whether rewrites are tested while they are made, by running what a rewrite takes away
 * and what it puts in its place on random and special inputs. One that breaks its
 * contract is not done, and the report tells of it. */
typedef enum pln_verify {
    PLN_VERIFY_OFF = 0,
    PLN_VERIFY_PASS = 1,   /**< the whole graph before and after each pass */
    PLN_VERIFY_REWRITE = 2 /**< every rewrite by itself */
} pln_verify;

/** Rules in text (docs/rules.md). */
typedef struct pln_rules_source {
    const char *name; /**< for messages: the file's */
    const char *text; /**< NUL-terminated */
} pln_rules_source;

/** One rewrite, as pln_watch.on_rewrite is told of it. */
typedef struct pln_rewrite {
    uint64_t number; /**< from 1, over the whole pipeline */
    const char *pass, *rule, *node;
    /** The fragment by itself: NULL but for the rewrite that was asked for, or where it
     * can't be cut out. */
    const pln_model *before, *after;
} pln_rewrite;

/** For those who want to see rules at work. Each call borrows what it is given. */
typedef struct pln_watch {
    /** Just before a rewrite is done. */
    void (*on_rewrite)(void *user, const pln_rewrite *rewrite);
    /** After a pass that changed something. */
    void (*on_pass)(void *user, const char *pass, const pln_model *model);
    void *user;
    uint64_t stop_after;  /**< no rewrite after this one; 0: all of them */
    uint64_t fragment_of; /**< the rewrite whose fragment is wanted; 0: none */
} pln_watch;
/** For pln_watch.fragment_of: the fragments of all. */
#define PLN_ALL_REWRITES UINT64_MAX

typedef struct pln_optimize_options {
    size_t struct_size;
    int level;            /**< 0 to 3; default 2 */
    pln_target target;
    bool allow_approx;    /**< also APPROX rules */
    const char *passes;   /**< a pipeline, "dce,(fold,cse)*"; NULL: the level's own */
    const char *disable;  /**< comma-separated names of passes or rules; may be NULL */
    const char *debug;    /**< switches as in PLN_DEBUG; NULL: the environment's */
    uint64_t fold_growth; /**< most bytes that folding may add to the model; 0: default */
    bool no_stamp;        /**< leave no recipe in metadata_props */
    pln_verify verify;
    bool stats;          /**< the report has "rules": what each did, and why it did not */
    const char *explain; /**< a rule, pass, node or value: the report has "explain", how
                              near rules came there; may be NULL. A name that is none of
                              them is PLN_E_USAGE */
    pln_watch watch;
    const pln_rules_source *rules; /**< of your own, whatever the level; may be NULL */
    size_t n_rules;
} pln_optimize_options;
#define PLN_OPTIMIZE_OPTIONS_INIT \
    { .struct_size = sizeof(pln_optimize_options), .level = 2 }

/** Rewrites the model in place. `*report` (may be NULL) is a JSON object with "before",
 * "after", "passes" and what was asked for; freed with pln_free(). On failure the model
 * is unchanged. */
PLN_API pln_status pln_model_optimize(pln_model *model,
                                      const pln_optimize_options *options, char **report,
                                      pln_error *err);
/** JSON array of the passes: name, brief, contract, rules. Freed with pln_free(). */
PLN_API pln_status pln_passes_list(char **json, pln_error *err);
/** The table of PLN_DEBUG switches as text. */
PLN_API const char *pln_debug_help(void);

typedef enum pln_quant_mode {
    PLN_QUANT_STATIC = 0,  /**< activations and weights, ranges from calibration data */
    PLN_QUANT_DYNAMIC = 1, /**< activation ranges at run time */
    PLN_QUANT_WEIGHTS = 2  /**< weights only */
} pln_quant_mode;

typedef struct pln_feed {
    const char *name;   /**< a model input */
    pln_tensor *tensor; /**< borrowed */
} pln_feed;

typedef struct pln_quantize_options {
    size_t struct_size;
    pln_quant_mode mode;
    pln_dtype activations; /**< PLN_DT_U8 (default when NONE) or PLN_DT_S8 */
    pln_dtype weights;     /**< PLN_DT_S8 (default when NONE) */
    bool per_tensor;       /**< one scale for a weight instead of one for each channel */
    bool reduce_range;     /**< weights in 7 bits, for runtimes that saturate */
    const char *exclude;   /**< comma-separated node names that stay float; may be NULL */
    /** The i-th set of calibration inputs: fills `*feeds` and `*n` (owned by the caller,
     * valid until the next call); returns false after the last. */
    bool (*calibration)(void *user, size_t i, const pln_feed **feeds, size_t *n);
    void *user;
} pln_quantize_options;
#define PLN_QUANTIZE_OPTIONS_INIT { .struct_size = sizeof(pln_quantize_options) }

/** Inserts quantize and dequantize nodes in place. `*report` (may be NULL): JSON with the
 * units quantized and those left alone with the reason. */
PLN_API pln_status pln_model_quantize(pln_model *model,
                                      const pln_quantize_options *options, char **report,
                                      pln_error *err);

/* ---- sessions and runs ------------------------------------------------------------- */

/** A model made ready to run. Immutable: threads share it, each with its own run. */
typedef struct pln_session pln_session;
/** The state of one caller's runs: bindings, workspace, profile. */
typedef struct pln_run pln_run;

typedef struct pln_session_options {
    size_t struct_size;
    int threads;         /**< 0: OMP_NUM_THREADS, else the processors allowed to it */
    bool no_optimize;    /**< run the graph as it is */
    const char *device;  /**< "ref", "cpu", "dnnl" or NULL (PLN_DEVICE, else all) */
    uint64_t seed;       /**< of random operators without a seed attribute */
    bool all_values;     /**< keep every tensor of the main graph for
                              pln_run_value(); implies no_optimize */
} pln_session_options;
#define PLN_SESSION_OPTIONS_INIT { .struct_size = sizeof(pln_session_options) }

/** Compiles. The model may be freed or changed afterwards: the session keeps what it
 * needs, without copying weights. */
PLN_API pln_status pln_session_new(const pln_model *model,
                                   const pln_session_options *options, pln_session **out,
                                   pln_error *err);
PLN_API void pln_session_free(pln_session *session);

typedef enum pln_io { PLN_INPUT = 0, PLN_OUTPUT = 1 } pln_io;

/** One input or output. Borrowed from its session or model. */
typedef struct pln_io_info {
    const char *name;
    size_t name_len;
    pln_kind kind;
    pln_dtype dtype;              /**< of a sequence or optional: of its tensors */
    int rank;                     /**< -1: unknown */
    const int64_t *dims;          /**< -1: not fixed */
    const char *const *dim_names; /**< "batch", "2*seq+1", or NULL where unnamed */
    bool has_default;             /**< an input with an overridable initializer */
    const char *type; /**< the whole type as ONNX spells it, without shapes:
                           "tensor(float)", "seq(map(int64,tensor(float)))"; "?" where
                           a part of it is unknown */
} pln_io_info;

/** Threads that its runs use. */
PLN_API int pln_session_threads(const pln_session *session);
PLN_API size_t pln_session_count(const pln_session *session, pln_io io);
PLN_API pln_status pln_session_io(const pln_session *session, pln_io io, size_t i,
                                  pln_io_info *out);
PLN_API size_t pln_model_count(const pln_model *model, pln_io io);
PLN_API pln_status pln_model_io(const pln_model *model, pln_io io, size_t i,
                                pln_io_info *out);

PLN_API pln_status pln_run_new(pln_session *session, pln_run **out, pln_error *err);
PLN_API void pln_run_free(pln_run *run);
/** Binds (references) an input; NULL unbinds. Type and shape are checked here. */
PLN_API pln_status pln_run_bind_input(pln_run *run, const char *name, pln_tensor *t,
                                      pln_error *err);
/** Binds memory for an output: the run writes there, and fails with PLN_E_INPUT if type
 * or shape differ. NULL unbinds. */
PLN_API pln_status pln_run_bind_output(pln_run *run, const char *name, pln_tensor *t,
                                       pln_error *err);

typedef struct pln_run_options {
    size_t struct_size;
    uint32_t deadline_ms; /**< 0: none; past it the run ends with PLN_E_LIMIT */
    bool profile;         /**< collect times for pln_run_profile() */
} pln_run_options;
#define PLN_RUN_OPTIONS_INIT { .struct_size = sizeof(pln_run_options) }

/** Runs once. Allocates nothing at an input shape that it has seen before. */
PLN_API pln_status pln_run_execute(pln_run *run, const pln_run_options *options,
                                   pln_error *err);
/** An output of the last run, borrowed until the next execute; reference it to keep it
 * (the next run then writes elsewhere). A tensor's elements are nobody else's and may be
 * written; the items of a sequence may be shared with inputs and must not be. NULL:
 * unknown name, or not run yet. */
PLN_API pln_tensor *pln_run_output(pln_run *run, const char *name);
PLN_API pln_tensor *pln_run_output_at(pln_run *run, size_t i);
/** With pln_session_options.all_values: any tensor of the main graph by name. */
PLN_API pln_tensor *pln_run_value(pln_run *run, const char *name);
/** Asks a running execute to end with PLN_E_CANCELLED. Any thread, any time. */
PLN_API void pln_run_cancel(pln_run *run);
/** Times of the last profiled run as JSON; freed with pln_free(NULL, ...). */
PLN_API pln_status pln_run_profile(const pln_run *run, char **json, pln_error *err);

/* ---- operators of the user's own ------------------------------------------------- */

/** One call of a user's operator: inputs, outputs and attributes. */
typedef struct pln_op_call pln_op_call;

PLN_API size_t pln_op_call_inputs(const pln_op_call *call);
PLN_API size_t pln_op_call_outputs(const pln_op_call *call);
/** Input i, borrowed; NULL when absent. While shapes are inferred, its data pointer is
 * NULL unless the contents are constant, and unknown dimensions are -1. */
PLN_API const pln_tensor *pln_op_call_input(const pln_op_call *call, size_t i);
/** While running: output i, allocated as inferred (NULL if nobody wants it). */
PLN_API pln_tensor *pln_op_call_output(const pln_op_call *call, size_t i);
/** Sets type and shape of output i: in `infer` (dims may hold -1), or in `run` for shapes
 * that depend on the data (allocates). */
PLN_API pln_status pln_op_call_set_output(pln_op_call *call, size_t i, pln_dtype dt,
                                          int rank, const int64_t *dims);
/** Attributes; the default is returned where the node has none of that name. */
PLN_API int64_t pln_op_call_attr_int(const pln_op_call *call, const char *name,
                                     int64_t otherwise);
PLN_API float pln_op_call_attr_float(const pln_op_call *call, const char *name,
                                     float otherwise);
PLN_API const char *pln_op_call_attr_string(const pln_op_call *call, const char *name,
                                            const char *otherwise);
PLN_API const int64_t *pln_op_call_attr_ints(const pln_op_call *call, const char *name,
                                             size_t *n);
PLN_API const float *pln_op_call_attr_floats(const pln_op_call *call, const char *name,
                                             size_t *n);
/** Fails the call with a text; returns `st`, so that `return pln_op_call_fail(...)`
 * reads well. */
PLN_API pln_status pln_op_call_fail(pln_op_call *call, pln_status st, const char *text);

/** A user's operator. All pointers must stay valid as long as the environment. */
typedef struct pln_op_def {
    size_t struct_size;
    const char *domain;
    const char *name;
    int since_version;
    int min_inputs, max_inputs;   /**< max -1: any number */
    int min_outputs, max_outputs;
    bool pure;                    /**< same inputs give the same outputs, no effects */
    pln_status (*infer)(pln_op_call *call, void *user);
    pln_status (*run)(pln_op_call *call, void *user);
    void *user;
} pln_op_def;
#define PLN_OP_DEF_INIT { .struct_size = sizeof(pln_op_def) }

/** Adds an operator to the environment (not NULL), for models loaded from then on. */
PLN_API pln_status pln_op_register(pln_env *env, const pln_op_def *def, pln_error *err);
/** Loads a shared object and calls its `pln_plugin_init(env, err)`. */
PLN_API pln_status pln_env_load_plugin(pln_env *env, const char *path, pln_error *err);
/** What a plug-in exports. */
typedef pln_status (*pln_plugin_init_fn)(pln_env *env, pln_error *err);

#ifdef __cplusplus
}
#endif
#endif
