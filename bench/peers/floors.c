/* Minimum costs of hardware and kernel: copying memory, and mapping a file and touching a page of it.
 * floors FILE MIB -> "memcpyMs mmapMs", medians of nine. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { rounds = 9 };

static double now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  size_t bytes = strtoull(argv[2], NULL, 10) << 20;
  char *from = malloc(bytes), *to = malloc(bytes);
  if (from == NULL || to == NULL) return 1;
  memset(from, 1, bytes);
  memset(to, 2, bytes);
  double copies[rounds], maps[rounds];
  volatile char sum = 0;
  for (int i = 0; i < rounds; i++) {
    from[i] = (char)i;
    double began = now_ms();
    memcpy(to, from, bytes);
    copies[i] = now_ms() - began;
    sum += to[i];

    began = now_ms();
    int file = open(argv[1], O_RDONLY);
    if (file < 0) return 1;
    off_t size = lseek(file, 0, SEEK_END);
    char *map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (map == MAP_FAILED) return 1;
    map[0] = (char)i;
    maps[i] = now_ms() - began;
    munmap(map, (size_t)size);
    close(file);
  }
  qsort(copies, rounds, sizeof *copies, by_value);
  qsort(maps, rounds, sizeof *maps, by_value);
  printf("%f %f\n", copies[rounds / 2], maps[rounds / 2]);
  return 0;
}
