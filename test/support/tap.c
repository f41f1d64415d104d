// tap PATH NAME: joins a tap of this network namespace with a stream of frames. It connects to PATH
// (AF_UNIX); each frame follows its length, 4 bytes big-endian. Ends with the stream.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LENGTH = 4, FRAME_MAX = 65550 };

static unsigned char from_tap[LENGTH + FRAME_MAX];
static unsigned char from_stream[LENGTH + FRAME_MAX];
static size_t have; // bytes in from_stream

static int open_tap(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (tap >= 0 && ioctl(tap, TUNSETIFF, &request) < 0) return -1;
  return tap;
}

static int open_stream(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int stream = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (stream >= 0 && connect(stream, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  return stream;
}

// Returns 0 when the stream has ended.
static int tap_to_stream(int tap, int stream) {
  for (;;) {
    ssize_t bytes = read(tap, from_tap + LENGTH, FRAME_MAX);
    if (bytes <= 0) return 1; // there is no further frame
    uint32_t length = htonl((uint32_t)bytes);
    memcpy(from_tap, &length, LENGTH);
    for (size_t at = 0, end = LENGTH + (size_t)bytes; at < end;) {
      ssize_t written = write(stream, from_tap + at, end - at);
      if (written <= 0) return 0;
      at += (size_t)written;
    }
  }
}

// Returns 0 when the stream has ended, or is no stream of frames.
static int stream_to_tap(int stream, int tap) {
  ssize_t bytes = read(stream, from_stream + have, sizeof from_stream - have);
  if (bytes <= 0) return 0;
  have += (size_t)bytes;
  for (;;) {
    uint32_t length;
    if (have < LENGTH) return 1;
    memcpy(&length, from_stream, LENGTH);
    length = ntohl(length);
    if (length > FRAME_MAX) return 0;
    if (have < LENGTH + length) return 1;
    // What the tap does not take is lost, as on a wire.
    if (write(tap, from_stream + LENGTH, length) < 0 && errno == EBADFD) return 0;
    have -= LENGTH + length;
    memmove(from_stream, from_stream + LENGTH + length, have);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: tap PATH NAME\n"), 2;
  int stream = open_stream(argv[1]);
  if (stream < 0) return perror(argv[1]), 1;
  int tap = open_tap(argv[2]);
  if (tap < 0) return perror(argv[2]), 1;
  for (;;) {
    struct pollfd ends[] = {{.fd = tap, .events = POLLIN}, {.fd = stream, .events = POLLIN}};
    if (poll(ends, 2, -1) < 0) return 1;
    if (ends[0].revents != 0 && !tap_to_stream(tap, stream)) return 0;
    if (ends[1].revents != 0 && !stream_to_tap(stream, tap)) return 0;
  }
}
