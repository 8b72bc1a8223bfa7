/* victim [RANK VERB VALUE MILLISECONDS]...: after a barrier of all, each named rank waits and does its verb:
 * exit (the code; no MPI_Finalize, no MPI_Abort), signal (to itself), abort (MPI_Abort), eat (memory, all that it
 * gets), catch (waits for SIGTERM, then
 * works for VALUE milliseconds, says so, and ends with 0), ignore (SIGTERM; stays). Ranks that are not named stay. */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t told = 0;
static void hear(int number) { told = number; }

int main(int argc, char **argv) {
    int rank, at;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (at = 1; at + 3 < argc; at += 4)
        if (atoi(argv[at]) == rank && strcmp(argv[at + 1], "ignore") == 0) signal(SIGTERM, SIG_IGN);
        else if (atoi(argv[at]) == rank && strcmp(argv[at + 1], "catch") == 0) signal(SIGTERM, hear);
    MPI_Barrier(MPI_COMM_WORLD);
    printf("in\n");
    fflush(stdout);
    for (at = 1; at + 3 < argc; at += 4) {
        int value = atoi(argv[at + 2]);
        if (atoi(argv[at]) != rank) continue;
        usleep(1000 * atoi(argv[at + 3]));
        if (strcmp(argv[at + 1], "exit") == 0) _exit(value);
        if (strcmp(argv[at + 1], "abort") == 0) MPI_Abort(MPI_COMM_WORLD, value);
        if (strcmp(argv[at + 1], "signal") == 0) { signal(value, SIG_DFL); raise(value); }
        while (strcmp(argv[at + 1], "eat") == 0) {
            char *more = malloc(1 << 22);
            if (more) memset(more, 1, 1 << 22);
        }
        if (strcmp(argv[at + 1], "catch") == 0) {
            while (!told) usleep(10000);
            printf("heard %d\n", (int)told);
            usleep(1000 * value);
            printf("saved\n");
            fflush(stdout);
            _exit(0);
        }
    }
    for (;;) sleep(1);
}
