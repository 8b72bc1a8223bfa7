/* Pass a number round all ranks, and measure what lies between neighbours.
 *
 *     mpicc -O2 -o ring ring.c
 *     mpiexec -n 4 ./ring [--laps N] [--sweep]
 *
 * The same program as `workload/kernels/ring.py`, for a look at what Python costs and for MPIs without mpi4py.
 * C99 and MPI 3.0; no option of the compiler is needed.
 */
#define _POSIX_C_SOURCE 199309L /* nanosleep */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TAG_TOKEN = 1, TAG_PING = 2, TAG_PLAN = 3 };
enum { FEWEST = 5, MOST = 1000 };        /* round trips at one size */
static const double SECONDS_EACH = 0.02; /* for one pair at one size, once it is warm */
static const int SIZES[] = {8, 64, 512, 4096, 32768, 262144, 1048576, 4194304};
enum { N_SIZES = sizeof SIZES / sizeof *SIZES };

/* Every rank must go, so Abort and not exit. */
static void fail(const char *what, long got, long wanted)
{
    fprintf(stderr, "ring: %s: got %ld, wanted %ld\n", what, got, wanted);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static int count_hosts(int size)
{
    char mine[MPI_MAX_PROCESSOR_NAME] = {0};
    char *all = malloc((size_t)size * sizeof mine);
    int length, hosts = 0;
    if (!all)
        fail("no memory for the host names", 0, size);
    MPI_Get_processor_name(mine, &length);
    MPI_Allgather(mine, sizeof mine, MPI_CHAR, all, sizeof mine, MPI_CHAR, MPI_COMM_WORLD);
    for (int i = 0; i < size; i++) {
        int seen = 0;
        for (int j = 0; j < i && !seen; j++)
            seen = !strcmp(all + (size_t)i * sizeof mine, all + (size_t)j * sizeof mine);
        hosts += !seen;
    }
    free(all);
    return hosts;
}

/* Each rank adds 1; returns the seconds that all laps took. */
static double pass_round(int rank, int size, int64_t laps)
{
    int64_t token = 0, mine = rank, total = 0;
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime(), said = start;
    for (int64_t lap = 1; lap <= laps; lap++) {
        if (rank > 0)
            MPI_Recv(&token, 1, MPI_INT64_T, rank - 1, TAG_TOKEN, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        token++;
        if (size > 1) {
            MPI_Send(&token, 1, MPI_INT64_T, (rank + 1) % size, TAG_TOKEN, MPI_COMM_WORLD);
            if (rank == 0)
                MPI_Recv(&token, 1, MPI_INT64_T, size - 1, TAG_TOKEN, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
        if (rank == 0 && MPI_Wtime() - said >= 1) {
            said = MPI_Wtime();
            printf("ring: lap %lld of %lld\n", (long long)lap, (long long)laps);
            fflush(stdout);
        }
    }
    double seconds = MPI_Wtime() - start;
    MPI_Allreduce(&mine, &total, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (total != (int64_t)size * (size - 1) / 2)
        fail("sum of the ranks", (long)total, (long)size * (size - 1) / 2);
    if (rank == 0 && token != laps * size)
        fail("the number that came back", (long)token, (long)(laps * size));
    return seconds;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Half the median round trip, in seconds, on the rank that leads; 0 on the other. */
static double ping_pong(char *buffer, int bytes, int peer, int leads, int trips)
{
    static double seconds[MOST];
    for (int i = 0; i < trips; i++) {
        double start = MPI_Wtime();
        if (leads)
            MPI_Send(buffer, bytes, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD);
        MPI_Recv(buffer, bytes, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (!leads)
            MPI_Send(buffer, bytes, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD);
        seconds[i] = MPI_Wtime() - start;
    }
    if (!leads)
        return 0;
    qsort(seconds, (size_t)trips, sizeof *seconds, by_value);
    return seconds[trips / 2] / 2;
}

/* The sizes of one pair; called by its two ranks, `one_way` is filled on `left`. */
static void measure_pair(int rank, int left, int right, double one_way[N_SIZES])
{
    int leads = rank == left, peer = leads ? right : left;
    char *buffer = calloc(1, (size_t)SIZES[N_SIZES - 1]);
    if (!buffer)
        fail("no memory for a message", 0, SIZES[N_SIZES - 1]);
    for (int i = 0; i < N_SIZES; i++) {
        double warm = 2 * ping_pong(buffer, SIZES[i], peer, leads, FEWEST);
        int trips = warm > SECONDS_EACH / MOST ? (int)(SECONDS_EACH / warm) : MOST;
        trips = trips < FEWEST ? FEWEST : trips;
        if (leads)
            MPI_Send(&trips, 1, MPI_INT, peer, TAG_PLAN, MPI_COMM_WORLD);
        else
            MPI_Recv(&trips, 1, MPI_INT, peer, TAG_PLAN, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        one_way[i] = ping_pong(buffer, SIZES[i], peer, leads, trips);
    }
    free(buffer);
}

static void sweep(int rank, int size)
{
    int pairs = size > 2 ? size : size - 1; /* two ranks are one pair */
    if (rank == 0)
        puts("       pair       bytes         latency         bandwidth");
    for (int left = 0; left < pairs; left++) {
        int right = (left + 1) % size;
        double one_way[N_SIZES] = {0};
        if (rank == left || rank == right)
            measure_pair(rank, left, right, one_way);
        /* Those that wait sleep: a rank that spins would share a core with the pair that is measured. */
        MPI_Request everyone;
        int done = 0;
        struct timespec nap = {0, 500000};
        MPI_Ibarrier(MPI_COMM_WORLD, &everyone);
        for (MPI_Test(&everyone, &done, MPI_STATUS_IGNORE); !done; MPI_Test(&everyone, &done, MPI_STATUS_IGNORE))
            nanosleep(&nap, NULL);
        if (left != 0 && rank == left)
            MPI_Send(one_way, N_SIZES, MPI_DOUBLE, 0, TAG_PLAN, MPI_COMM_WORLD);
        if (left != 0 && rank == 0)
            MPI_Recv(one_way, N_SIZES, MPI_DOUBLE, left, TAG_PLAN, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int i = 0; rank == 0 && i < N_SIZES; i++)
            printf("%4d - %4d  %10d  %10.2f us  %10.3f GB/s\n", left, right, SIZES[i], one_way[i] * 1e6,
                   one_way[i] > 0 ? SIZES[i] / one_way[i] / 1e9 : 0.0);
    }
}

int main(int argc, char **argv)
{
    int rank, size, measures = 0;
    long long laps = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int i = 1; i < argc; i++) {
        char *rest = "";
        if (!strcmp(argv[i], "--sweep"))
            measures = 1;
        else if (!strcmp(argv[i], "--no-sweep"))
            measures = 0;
        else if (!strcmp(argv[i], "--laps") && i + 1 < argc)
            laps = strtoll(argv[++i], &rest, 10);
        else
            laps = 0;
        if (laps < 1 || *rest) {
            if (rank == 0)
                fprintf(stderr, "usage: ring [--laps N] [--sweep]   (N: 1 or more); got '%s'\n", argv[i]);
            MPI_Finalize(); /* no Abort: every rank reads the same arguments and leaves the same way */
            return 2;
        }
    }
    int hosts = count_hosts(size);
    double seconds = pass_round(rank, size, laps);
    if (rank == 0)
        printf("ring: %d ranks on %d host%s, %lld laps: number %lld, sum of ranks %lld, %.2f us a hop\n", size, hosts,
               hosts > 1 ? "s" : "", laps, laps * size, (long long)size * (size - 1) / 2,
               seconds / (double)(laps * size) * 1e6);
    if (measures)
        sweep(rank, size);
    MPI_Finalize();
    return 0;
}
