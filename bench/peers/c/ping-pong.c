// Round trips against an echo: ping-pong tcp|unix|vsock WHERE SIZE COUNT. Prints JSON, microseconds.
#include "socket.h"

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  int fd = connect_to(argv[1], argv[2]), size = atoi(argv[3]), count = atoi(argv[4]);
  char *out = malloc(size), *in = malloc(size);
  double *us = malloc(sizeof *us * count), sum = 0;
  for (int i = 0; i < size; i++) out[i] = i * 31;
  for (int i = -count / 10; i < count; i++) { // a tenth to warm up
    double start = now_us();
    write_all(fd, out, size);
    read_all(fd, in, size);
    if (i >= 0) sum += us[i] = now_us() - start;
  }
  if (memcmp(out, in, size)) {
    fprintf(stderr, "the echo differs\n");
    return 1;
  }
  qsort(us, count, sizeof *us, by_value);
  printf("{\"mean\":%.2f,\"p50\":%.2f,\"p99\":%.2f}\n", sum / count, us[count / 2],
         us[count * 99L / 100]);
  return 0;
}
