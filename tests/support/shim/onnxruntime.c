/* An ONNX Runtime with a will of its own: the real library, whose sessions on OpenVINO do what the file BEHAVIOUR says.
 *
 *   (no file)        what the real library does
 *   crash-at-load    abort when the library is loaded
 *   hang-at-load     never come back from being loaded
 *   lie              answer with wrong numbers
 *   mix-rows         answer each image of a batch with its neighbour's numbers
 *   mutter           print half a line at every run
 *   fail             every run is an error
 *   crash            abort at the next run
 *   hang             never come back from the next run
 *
 * Sessions on the processor are left alone. Built by the tests: cc -shared -fPIC -DREAL='"..."' -DBEHAVIOUR='"..."'.
 * Indexes are those of OrtApi in onnxruntime_c_api.h, whose order never changes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    CREATE_STATUS = 0,
    CREATE_SESSION_FROM_ARRAY = 8,
    RUN = 9,
    GET_TENSOR_MUTABLE_DATA = 51,
    GET_DIMENSIONS_COUNT = 61,
    GET_DIMENSIONS = 62,
    GET_TENSOR_SHAPE_ELEMENT_COUNT = 64,
    GET_TENSOR_TYPE_AND_SHAPE = 65,
    RELEASE_TENSOR_TYPE_AND_SHAPE_INFO = 99,
    APPEND_PROVIDER = 216,
    MARKED_MAX = 4096,
    DIMENSIONS_MAX = 8
};

struct api_base {
    void **(*get_api)(uint32_t);
    const char *(*get_version)(void);
};

typedef void *(*append_fn)(void *, const char *, const char *const *, const char *const *, size_t);
typedef void *(*create_fn)(const void *, const void *, size_t, const void *, void **);
typedef void *(*run_fn)(void *, const void *, const char *const *, const void *const *, size_t, const char *const *, size_t, void **);

static void **api;
static append_fn real_append;
static create_fn real_create;
static run_fn real_run;
static const void *options_marked[MARKED_MAX], *sessions_marked[MARKED_MAX];
static size_t options_count, sessions_count;

static int behaves(const char *word) {
    char found[32] = {0};
    FILE *file = fopen(BEHAVIOUR, "r");
    if (!file)
        return 0;
    size_t length = fread(found, 1, sizeof found - 1, file);
    fclose(file);
    return length == strlen(word) && strncmp(found, word, length) == 0;
}

static void for_ever(void) {
    for (;;)
        pause();
}

__attribute__((constructor)) static void loaded(void) {
    if (behaves("crash-at-load"))
        abort();
    if (behaves("hang-at-load"))
        for_ever();
}

static int marked(const void *const *list, size_t count, const void *one) {
    for (size_t at = 0; at < count; at++)
        if (list[at] == one)
            return 1;
    return 0;
}

/* Addresses are used again: whatever comes to lie there next is somebody else. */
static void forget(const void **list, size_t count, const void *one) {
    for (size_t at = 0; at < count; at++)
        if (list[at] == one)
            list[at] = NULL;
}

static void *append(void *options, const char *name, const char *const *keys, const char *const *values, size_t count) {
    if (strstr(name, "OpenVINO") && options_count < MARKED_MAX)
        options_marked[options_count++] = options;
    return real_append(options, name, keys, values, count);
}

static void *create(const void *env, const void *bytes, size_t length, const void *options, void **out) {
    int on_openvino = marked(options_marked, options_count, options);
    forget(options_marked, options_count, options);
    void *status = real_create(env, bytes, length, options, out);
    if (status)
        return status;
    forget(sessions_marked, sessions_count, *out);
    if (on_openvino && sessions_count < MARKED_MAX)
        sessions_marked[sessions_count++] = *out;
    return NULL;
}

/* The numbers of an output, how many they are and how many images they answer. */
static float *numbers_of(void *value, size_t *count, size_t *rows) {
    void *info = NULL;
    float *numbers = NULL;
    int64_t sizes[DIMENSIONS_MAX] = {1};
    size_t dimensions = 0;
    ((void *(*)(const void *, void **))api[GET_TENSOR_TYPE_AND_SHAPE])(value, &info);
    ((void *(*)(const void *, size_t *))api[GET_TENSOR_SHAPE_ELEMENT_COUNT])(info, count);
    ((void *(*)(const void *, size_t *))api[GET_DIMENSIONS_COUNT])(info, &dimensions);
    if (dimensions > 0 && dimensions <= DIMENSIONS_MAX)
        ((void *(*)(const void *, int64_t *, size_t))api[GET_DIMENSIONS])(info, sizes, dimensions);
    ((void (*)(void *))api[RELEASE_TENSOR_TYPE_AND_SHAPE_INFO])(info);
    ((void *(*)(void *, void **))api[GET_TENSOR_MUTABLE_DATA])(value, (void **)&numbers);
    *rows = (size_t)sizes[0];
    return numbers;
}

static void twist(void *value) {
    size_t count = 0, rows = 0;
    float *numbers = numbers_of(value, &count, &rows);
    for (size_t at = 0; at < count; at++)
        numbers[at] += (at % 3 == 0) ? 2.0F : -1.0F;
}

static void mix_rows(void *value) {
    size_t count = 0, rows = 0;
    float *numbers = numbers_of(value, &count, &rows);
    size_t width = rows ? count / rows : 0;
    for (size_t row = 0; row + 1 < rows; row++)
        for (size_t at = row * width; at < (row + 1) * width; at++) {
            float kept = numbers[at];
            numbers[at] = numbers[at + width];
            numbers[at + width] = kept;
        }
}

static void *run(void *session, const void *options, const char *const *names, const void *const *inputs, size_t count,
                 const char *const *output_names, size_t output_count, void **outputs) {
    if (!marked(sessions_marked, sessions_count, session))
        return real_run(session, options, names, inputs, count, output_names, output_count, outputs);
    if (behaves("crash"))
        abort();
    if (behaves("hang"))
        for_ever();
    if (behaves("fail"))
        return ((void *(*)(int, const char *))api[CREATE_STATUS])(1, "the device is gone");
    if (behaves("mutter") && write(STDOUT_FILENO, "half a line", 11) < 0)
        abort();
    void *status = real_run(session, options, names, inputs, count, output_names, output_count, outputs);
    for (size_t at = 0; !status && at < output_count; at++) {
        if (behaves("lie"))
            twist(outputs[at]);
        if (behaves("mix-rows"))
            mix_rows(outputs[at]);
    }
    return status;
}

static void patch(size_t index, void *with, void *real) {
    *(void **)real = api[index];
    api[index] = with;
}

static void **get_api(uint32_t version) {
    void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return NULL;
    const struct api_base *(*base)(void) = (const struct api_base *(*)(void))dlsym(library, "OrtGetApiBase");
    void **found = base()->get_api(version);
    if (!found || found == api)
        return found;
    api = found;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)api & ~(page - 1);
    uintptr_t end = ((uintptr_t)(api + APPEND_PROVIDER + 1) + page - 1) & ~(page - 1);
    if (mprotect((void *)begin, end - begin, PROT_READ | PROT_WRITE))
        return NULL;
    patch(CREATE_SESSION_FROM_ARRAY, (void *)create, &real_create);
    patch(RUN, (void *)run, &real_run);
    patch(APPEND_PROVIDER, (void *)append, &real_append);
    return api;
}

static const char *get_version(void) {
    return "1.24.1";
}

static const struct api_base base = {get_api, get_version};

const struct api_base *OrtGetApiBase(void) {
    return &base;
}
