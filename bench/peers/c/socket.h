// Stream sockets for the C peers: "tcp PORT" on 127.0.0.1, "unix PATH", or "vsock PATH:PORT", which
// is AF_UNIX behind the line `CONNECT PORT`.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static inline double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static inline void fail(const char *what) {
  perror(what);
  exit(1);
}

static inline void no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); // an error on AF_UNIX is expected
}

// `where` is PORT of 127.0.0.1, or ADDRESS:PORT.
static inline int tcp_socket(const char *where, struct sockaddr_in *a) {
  const char *colon = strrchr(where, ':');
  char address[32] = "127.0.0.1";
  if (colon) snprintf(address, sizeof address, "%.*s", (int)(colon - where), where);
  memset(a, 0, sizeof *a);
  a->sin_family = AF_INET;
  a->sin_port = htons(atoi(colon ? colon + 1 : where));
  if (inet_pton(AF_INET, address, &a->sin_addr) != 1) fail(where);
  return socket(AF_INET, SOCK_STREAM, 0);
}

static inline int unix_socket(const char *path, struct sockaddr_un *a) {
  memset(a, 0, sizeof *a);
  a->sun_family = AF_UNIX;
  snprintf(a->sun_path, sizeof a->sun_path, "%s", path);
  return socket(AF_UNIX, SOCK_STREAM, 0);
}

static inline void write_all(int fd, const char *p, size_t n) {
  while (n > 0) {
    ssize_t x = write(fd, p, n);
    if (x <= 0) fail("write");
    p += x;
    n -= x;
  }
}

static inline void read_all(int fd, char *p, size_t n) {
  while (n > 0) {
    ssize_t x = read(fd, p, n);
    if (x <= 0) fail("read");
    p += x;
    n -= x;
  }
}

static inline int connect_to(const char *kind, const char *where) {
  signal(SIGPIPE, SIG_IGN);
  if (!strcmp(kind, "tcp")) {
    struct sockaddr_in a;
    int fd = tcp_socket(where, &a);
    if (connect(fd, (void *)&a, sizeof a)) fail(where);
    no_delay(fd);
    return fd;
  }
  char path[100];
  snprintf(path, sizeof path, "%s", where);
  char *port = !strcmp(kind, "vsock") ? strrchr(path, ':') : NULL;
  if (port) *port++ = 0;
  struct sockaddr_un a;
  int fd = unix_socket(path, &a);
  if (connect(fd, (void *)&a, sizeof a)) fail(path);
  if (port) {
    char line[32], c = 0;
    write_all(fd, line, snprintf(line, sizeof line, "CONNECT %s\n", port));
    while (c != '\n') read_all(fd, &c, 1); // OK and a port
  }
  return fd;
}

static inline int listen_on(const char *kind, const char *where) {
  int one = 1, fd, bad;
  signal(SIGPIPE, SIG_IGN);
  if (!strcmp(kind, "tcp")) {
    struct sockaddr_in a;
    fd = tcp_socket(where, &a);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bad = bind(fd, (void *)&a, sizeof a);
  } else {
    struct sockaddr_un a;
    fd = unix_socket(where, &a);
    unlink(where);
    bad = bind(fd, (void *)&a, sizeof a);
  }
  if (bad || listen(fd, 64)) fail(where);
  return fd;
}
