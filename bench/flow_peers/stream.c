/* STREAM's triad (J. D. McCalpin, 1995), a[i] = b[i] + s c[i], with stores past the caches: prints GB/s, best of five. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef double vector __attribute__((vector_size(64)));
enum { VECTORS = 5 << 20, MOST = 64 };  /* 335 MB an array: far beyond any cache */
static vector *a, *b, *c;

typedef struct { size_t from, to; } part;

static void *triad(void *argument) {
    const part *mine = argument;
    const vector s = {3, 3, 3, 3, 3, 3, 3, 3};
    for (size_t i = mine->from; i < mine->to; ++i) __builtin_nontemporal_store(b[i] + s * c[i], a + i);
    return NULL;
}

static vector *array(void) {
    const size_t bytes = sizeof(vector) * VECTORS;
    void *memory = aligned_alloc(2 << 20, bytes);
    if (!memory) exit(1);
    madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 1, bytes);
    return memory;
}

int main(int argc, char **argv) {
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    if (threads < 1 || threads > MOST) return 2;
    a = array(), b = array(), c = array();
    double best = 1e9;
    for (int round = 0; round < 5; ++round) {
        pthread_t started[MOST];
        part parts[MOST];
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int t = 0; t < threads; ++t) {
            parts[t] = (part){(size_t)VECTORS * t / threads, (size_t)VECTORS * (t + 1) / threads};
            pthread_create(started + t, NULL, triad, parts + t);
        }
        for (int t = 0; t < threads; ++t) pthread_join(started[t], NULL);
        clock_gettime(CLOCK_MONOTONIC, &to);
        const double seconds = to.tv_sec - from.tv_sec + 1e-9 * (to.tv_nsec - from.tv_nsec);
        if (seconds < best) best = seconds;
    }
    printf("%.3f\n", 3e-9 * sizeof(vector) * VECTORS / best);
    return 0;
}
