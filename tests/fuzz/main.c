/* Runs a fuzz target without a fuzzer: over files and folders, or, with --mutate N, over
 * N changed copies of each of their files (the same ones every time).
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state = 88172645463325252u;
static unsigned long mutations, n_files;

static uint64_t next(void) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) {
        perror(path);
        exit(2);
    }
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*size + 1);
    if (!data || fread(data, 1, *size, f) != *size) {
        perror(path);
        exit(2);
    }
    fclose(f);
    return data;
}

/* One small change: a byte, a piece left out, doubled or moved. In place; room for twice
 * the size is there. */
static size_t mutate(uint8_t *d, size_t n)
{
    if (!n)
        return n;
    const size_t at = next() % n, len = 1 + next() % (n - at < 40 ? n - at : 40);
    switch (next() % 5) {
    case 0:
        d[at] = (uint8_t)next();
        return n;
    case 1:
        d[at] ^= (uint8_t)(1u << next() % 8);
        return n;
    case 2:
        memmove(d + at, d + at + len, n - at - len);
        return n - len;
    case 3:
        memmove(d + at + len, d + at, n - at);
        return n + len;
    default: {
        const size_t from = next() % n, count = len < n - from ? len : n - from;
        memmove(d + at, d + from, count < n - at ? count : n - at);
        return n;
    }
    }
}

static void run_mutations(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(2 * size + 400);
    if (!copy)
        exit(2);
    for (unsigned long i = 0; i < mutations; i++) {
        memcpy(copy, data, size);
        size_t n = size;
        for (uint64_t k = 1 + next() % 4; k; k--)
            n = mutate(copy, n);
        uint8_t *exact = malloc(n ? n : 1); /* so that ASan sees reads past the end */
        if (!exact)
            exit(2);
        memcpy(exact, copy, n);
        if (getenv("FUZZ_LAST")) {
            FILE *f = fopen(getenv("FUZZ_LAST"), "wb");
            if (f) {
                fwrite(exact, 1, n, f);
                fclose(f);
            }
        }
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    free(copy);
}

static void run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st)) {
        perror(path);
        exit(2);
    }
    if (S_ISDIR(st.st_mode)) {
        struct dirent **names;
        const int n = scandir(path, &names, NULL, alphasort);
        for (int i = 0; i < n; i++) {
            char inner[4096];
            snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
            if (names[i]->d_name[0] != '.')
                run_path(inner);
            free(names[i]);
        }
        free(names);
        return;
    }
    size_t size;
    uint8_t *data = read_file(path, &size);
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        exit(2);
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    run_mutations(data, size);
    free(exact);
    free(data);
    n_files++;
}

int main(int argc, char **argv)
{
    int i = 1;
    if (argc > 2 && !strcmp(argv[1], "--mutate")) {
        mutations = strtoul(argv[2], NULL, 10);
        i = 3;
    }
    for (; i < argc; i++)
        run_path(argv[i]);
    printf("%lu files, %lu changed copies of each\n", n_files, mutations);
    return n_files ? 0 : 2;
}
