// Echo server, one connection after the other: the floor for round trips. echo tcp|unix WHERE
#include "socket.h"

int main(int argc, char **argv) {
  static char buffer[65536];
  if (argc < 3) return 2;
  int listener = listen_on(argv[1], argv[2]);
  for (;;) {
    int fd = accept(listener, 0, 0);
    if (fd < 0) fail("accept");
    no_delay(fd);
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) write_all(fd, buffer, n);
    close(fd);
  }
}
