// One way, as fast as it goes: bulk source|sink connect|listen tcp|unix|vsock WHERE SIZE MB. The
// source writes MB * 10^6 bytes in pieces of SIZE; both print JSON from first byte to last.
#include "socket.h"
#include <sys/resource.h>

static double cpu_us(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static int reach(int listens, const char *kind, const char *where) {
  if (!listens) return connect_to(kind, where);
  int fd = accept(listen_on(kind, where), 0, 0);
  if (fd < 0) fail("accept");
  no_delay(fd);
  return fd;
}

int main(int argc, char **argv) {
  if (argc < 7) return 2;
  int sends = !strcmp(argv[1], "source"), size = atoi(argv[5]);
  long long bytes = atoll(argv[6]) * 1000000, done = 0;
  int fd = reach(!strcmp(argv[2], "listen"), argv[3], argv[4]);
  char *buffer = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
  memset(buffer, 7, size);
  double start = now_us(), cpu = cpu_us();
  if (sends) {
    for (long long n; (n = bytes - done < size ? bytes - done : size) > 0; done += n)
      write_all(fd, buffer, n);
    shutdown(fd, SHUT_WR);
    if (read(fd, buffer, 1) != 0) fail("the end of the sink");
  } else {
    for (ssize_t n; (n = read(fd, buffer, size)) > 0; done += n)
      if (done == 0) start = now_us(), cpu = cpu_us();
  }
  printf("{\"bytes\":%lld,\"seconds\":%.6f,\"cpuUs\":%.0f}\n", done, (now_us() - start) / 1e6,
         cpu_us() - cpu);
  return done < bytes;
}
