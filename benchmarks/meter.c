/* A WebSocket meter that is far cheaper than the servers it measures: one thread, one epoll, no allocation per message.
 *
 * It opens clients, joins them to rooms by the query string, publishes, and counts every delivery. Closed loop: each
 * publisher keeps `window` of its own messages in flight (throughput). Open loop (`--rate`): messages are due on an
 * absolute grid and latency counts from the due time (latency). Frames are counted by their headers; only the time
 * stamp inside a message is looked at.
 *
 * Nothing that fails to arrive looks fast: after the window the meter waits for what is under way, for `drain` seconds
 * at most, and in the open loop counts what was due in the window and never came with the time it was waited for.
 *
 *   cc -O2 -o meter meter.c
 *   ./meter --port 8080 --clients 1000 --rooms 1 --publishers 4 --window 4 --seconds 5
 *
 * One JSON object on stdout at the end; exit 1 when not every client could be opened. With `--hold 1` it prints `start`,
 * `open` and `measured` at these moments and waits for a line on stdin each time. It ends with the process that started it.
 *
 * Masking: RFC 6455 section 5.3 lets a client choose any mask; zero leaves the payload as it is and costs nothing here.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

enum { READ_BYTES = 256 * 1024, EVENTS = 512, CONNECTING_AT_ONCE = 64, STAMP_HEX = 16, MAX_SIZE = 64 * 1024 };
enum { HOLD_SECONDS = 120, QUIET_NS = 1000000000, PREFILL_SIZE = 16 * 1024, PREFILL_WINDOW = 4 };
static const char STAMP[] = "\"Message\":\""; /* behind it: 16 hex digits of the due time, then the publisher */

typedef struct {
  int fd, id, lost, publisher;
  int open; /* 0 asking, -1 upgraded but not subscribed yet, 1 open */
  char *rest; /* the beginning of one frame */
  size_t rest_size, rest_room;
  char *out; /* what the socket did not take */
  size_t out_size, out_room;
  char *text; /* NATS only: the beginning of one protocol message, and what the frame it began in still has */
  size_t text_size, text_room, frame_left;
} Client;

static struct {
  const char *host, *path;
  int port, clients, rooms, publishers, window, size, nats, sources, hold, pid, prefill;
  double rate, seconds, warmup, settle, drain, open_seconds;
} opt = {"127.0.0.1", "/ws", 8080, 1000, 1, 0, 4, 128, 0, 1, 0, 0, 0, 0, 5, 1, 0.3, 5, 60};

static Client *clients;
static int epoll_fd, timer_fd, opened, failed, lost, measuring, publishing, next_publisher;
static int *members; /* of each room, when publishing began: what one message in it should become */
static uint64_t deliveries, published, bytes_in, total_deliveries, total_published, total_expected;
static uint64_t window_from, window_to = UINT64_MAX, window_expected; /* by due time */
static uint64_t grid_from, grid_at, armed_for, latest_ns;             /* the open loop's grid; how late it ever was */
static char buffer[READ_BYTES + 1];

/* --- latency: 64 sub-buckets per power of two, so 1.6 % wide at most ------------------------------------------------ */

static uint64_t histogram[64 * 64], latencies, latency_max;

static int bucket_of(uint64_t ns) {
  if (ns < 64) return (int)ns;
  int shift = 63 - __builtin_clzll(ns) - 6;
  return (shift + 1) * 64 + (int)((ns >> shift) & 63);
}

static double value_of(int bucket) {
  if (bucket < 64) return bucket;
  int shift = bucket / 64 - 1;
  return (double)((64ull + bucket % 64) << shift) + (double)(1ull << shift) / 2;
}

static void count_latency(uint64_t ns, uint64_t times) {
  histogram[bucket_of(ns)] += times;
  latencies += times;
  if (times && ns > latency_max) latency_max = ns;
}

static double percentile_ms(double p) {
  uint64_t want = (uint64_t)(latencies * p), seen = 0;
  for (int i = 0; i < 64 * 64; i++) {
    seen += histogram[i];
    if (seen > want) return (value_of(i) < latency_max ? value_of(i) : latency_max) / 1e6;
  }
  return latency_max / 1e6;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static uint64_t ns_of(double seconds) { return (uint64_t)(seconds * 1e9); }

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* --- writing -------------------------------------------------------------------------------------------------------- */

static void want(Client *c, uint32_t events) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void lose(Client *c) {
  if (c->lost) return;
  c->lost = 1;
  if (c->open == 1) lost++;
  else failed++;
  close(c->fd);
}

static void *room_for(char **block, size_t *room, size_t size) {
  if (size > *room) {
    *room = size * 2;
    if (!(*block = realloc(*block, *room))) die("realloc");
  }
  return *block;
}

static void put(Client *c, const char *data, size_t size) {
  if (c->lost) return;
  if (!c->out_size) {
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return lose(c);
    if (n > 0) data += n, size -= n;
    if (!size) return;
    want(c, EPOLLIN | EPOLLOUT);
  }
  room_for(&c->out, &c->out_room, c->out_size + size);
  memcpy(c->out + c->out_size, data, size);
  c->out_size += size;
}

static void flush_out(Client *c) {
  ssize_t n = send(c->fd, c->out, c->out_size, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return lose(c);
  if (n <= 0) return;
  memmove(c->out, c->out + n, c->out_size - n);
  c->out_size -= n;
  if (!c->out_size) want(c, EPOLLIN);
}

static void put_frame(Client *c, int opcode, const char *payload, size_t size) {
  static char frame[MAX_SIZE * 2];
  size_t head = 2;
  frame[0] = (char)(0x80 | opcode);
  if (size < 126) {
    frame[1] = (char)(0x80 | size);
  } else {
    frame[1] = (char)(0x80 | 126);
    frame[2] = (char)(size >> 8);
    frame[3] = (char)size;
    head = 4;
  }
  memset(frame + head, 0, 4);
  memcpy(frame + head + 4, payload, size);
  put(c, frame, head + 4 + size);
}

static void publish(Client *c, uint64_t due_ns) {
  static char message[MAX_SIZE + 64], command[MAX_SIZE + 128];
  int n = snprintf(message, sizeof message, "{\"clientId\":\"c%d\",\"Message\":\"%016llx %06d ", c->id,
                   (unsigned long long)due_ns, c->id);
  while (n < opt.size - 2) message[n++] = 'x';
  message[n++] = '"';
  message[n++] = '}';
  total_published++;
  total_expected += members[c->id % opt.rooms];
  if (measuring) {
    published++;
    window_expected += members[c->id % opt.rooms];
  }
  if (opt.nats) {
    int head = snprintf(command, sizeof command, "PUB r%d %d\r\n", c->id % opt.rooms, n);
    memcpy(command + head, message, n);
    memcpy(command + head + n, "\r\n", 2);
    put_frame(c, 2, command, head + n + 2);
  } else {
    put_frame(c, 1, message, n);
  }
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

static void take_message(Client *c, const char *payload, size_t size, uint64_t now) {
  total_deliveries++;
  if (measuring) deliveries++;
  if (!opt.rate && !c->publisher) return; /* closed loop: only publishers look inside */
  static size_t usual; /* servers put it at the same place each time: looking there first halves what a look costs */
  const char *found = payload + usual;
  if (usual + sizeof STAMP > size || memcmp(found, STAMP, sizeof STAMP - 1)) {
    if (!(found = memmem(payload, size, STAMP, sizeof STAMP - 1))) return;
    usual = found - payload;
  }
  if (found + sizeof STAMP - 1 + STAMP_HEX + 7 > payload + size) return;
  found += sizeof STAMP - 1;
  uint64_t due = 0;
  for (int i = 0; i < STAMP_HEX; i++) {
    char d = found[i];
    due = due << 4 | (uint64_t)(d <= '9' ? d - '0' : d - 'a' + 10);
  }
  if (window_from && due >= window_from && due < window_to) count_latency(now > due ? now - due : 0, 1);
  if (!opt.rate && publishing && atoi(found + STAMP_HEX + 1) == c->id) publish(c, now_ns());
}

static void is_open(Client *c) {
  if (c->open != 1) c->open = 1, opened++;
}

/* A frame's head: its length in bytes, 0 when it is not complete. */
static size_t take_head(const uint8_t *f, size_t size, int *opcode, size_t *length) {
  if (size < 2) return 0;
  *opcode = f[0] & 15;
  *length = f[1] & 0x7f;
  if (*length < 126) return 2;
  size_t head = *length == 126 ? 4 : 10;
  if (size < head) return 0;
  *length = 0;
  for (size_t i = 2; i < head; i++) *length = *length << 8 | f[i];
  return head;
}

static void take_control(Client *c, int opcode, const char *payload, size_t length) {
  if (opcode == 9) put_frame(c, 10, payload, length);
  else if (opcode == 8) lose(c);
}

static size_t take_frames(Client *c, char *data, size_t size) {
  size_t at = 0, head, length;
  int opcode;
  uint64_t now = opt.rate || c->publisher ? now_ns() : 0;
  while (!c->lost && (head = take_head((uint8_t *)data + at, size - at, &opcode, &length))) {
    if (size - at < head + length) break;
    if (opcode & 8) take_control(c, opcode, data + at + head, length);
    else take_message(c, data + at + head, length, now);
    at += head + length;
  }
  return at;
}

/* NATS speaks its own text protocol inside the frames, whose borders mean nothing to it:
 * MSG subject sid size CRLF payload CRLF, INFO …, PING, PONG, -ERR …. A client is open when its PING is answered, for
 * then its subscription is in force. */
static size_t take_nats(Client *c, const char *data, size_t size, uint64_t now) {
  size_t at = 0;
  while (!c->lost && at < size) {
    const char *line = data + at, *end = memchr(line, '\n', size - at);
    if (!end) break;
    size_t next = at + (end - line) + 1;
    if (line[0] == 'M') {
      const char *space = memrchr(line, ' ', end - line);
      size_t body = space ? (size_t)atoi(space + 1) : 0;
      if (next + body + 2 > size) break;
      take_message(c, data + next, body, now);
      next += body + 2;
    } else if (!strncmp(line, "PING", 4)) {
      put_frame(c, 2, "PONG\r\n", 6);
    } else if (!strncmp(line, "PONG", 4)) {
      is_open(c);
    } else if (line[0] == '-') {
      fprintf(stderr, "meter: %.*s\n", (int)(end - line), line);
      lose(c);
    }
    at = next;
  }
  return at;
}

static size_t take_nats_frames(Client *c, char *data, size_t size) {
  static char stream[READ_BYTES + MAX_SIZE * 2];
  size_t at = 0, text = c->text_size, length;
  int opcode;
  memcpy(stream, c->text ? c->text : "", text);
  while (!c->lost && at < size) {
    if (!c->frame_left) {
      size_t head = take_head((uint8_t *)data + at, size - at, &opcode, &length);
      if (!head) break;
      if (opcode & 8) {
        if (size - at < head + length) break;
        take_control(c, opcode, data + at + head, length);
        at += head + length;
        continue;
      }
      c->frame_left = length;
      at += head;
    }
    size_t n = c->frame_left < size - at ? c->frame_left : size - at;
    memcpy(stream + text, data + at, n);
    text += n, at += n, c->frame_left -= n;
  }
  size_t used = take_nats(c, stream, text, now_ns());
  c->text_size = text - used;
  memcpy(room_for(&c->text, &c->text_room, c->text_size + 1), stream + used, c->text_size);
  return at;
}

/* The answer to the request; how much of the data it was, 0 while it is not complete. */
static size_t take_answer(Client *c, char *data, size_t size) {
  data[size] = 0;
  char *end = strstr(data, "\r\n\r\n");
  if (!end) return 0;
  if (strncmp(data, "HTTP/1.1 101", 12)) {
    lose(c);
    return 0;
  }
  if (opt.nats) {
    char hello[160];
    int n = snprintf(hello, sizeof hello, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB r%d 1\r\nPING\r\n",
                     c->id % opt.rooms);
    put_frame(c, 2, hello, n);
    c->open = -1; /* upgraded, waiting for the PONG */
  } else {
    is_open(c);
  }
  return end + 4 - data;
}

static void readable(Client *c) {
  size_t size = c->rest_size, taken = 0;
  memcpy(buffer, c->rest ? c->rest : "", size);
  ssize_t n = recv(c->fd, buffer + size, READ_BYTES - size, 0);
  if (n <= 0) {
    if (n < 0 && errno == EAGAIN) return;
    return lose(c);
  }
  if (measuring) bytes_in += n;
  size += n;
  if (!c->open) taken = take_answer(c, buffer, size);
  if (c->open && opt.nats) taken += take_nats_frames(c, buffer + taken, size - taken);
  else if (c->open) taken += take_frames(c, buffer + taken, size - taken);
  if (c->lost) return;
  c->rest_size = size - taken;
  if (c->rest_size) memcpy(room_for(&c->rest, &c->rest_room, c->rest_size), buffer + taken, c->rest_size);
}

/* --- running -------------------------------------------------------------------------------------------------------- */

static void open_client(Client *c, int id) {
  c->id = id;
  c->publisher = id < opt.publishers;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (opt.sources > 1) {
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001 + 1 + id % opt.sources)};
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) die("bind");
  }
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
  inet_pton(AF_INET, opt.host, &to.sin_addr);
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect");
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl");
  char ask[512];
  int n = snprintf(ask, sizeof ask,
                   "GET %s?clientId=c%d&room=r%d HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                   opt.path, id, id % opt.rooms, opt.host, opt.port);
  memcpy(room_for(&c->out, &c->out_room, n), ask, n);
  c->out_size = n;
}

static void turn(int timeout_ms) {
  static struct epoll_event events[EVENTS];
  int n = epoll_wait(epoll_fd, events, EVENTS, timeout_ms);
  for (int i = 0; i < n; i++) {
    Client *c = events[i].data.ptr;
    if (!c) { /* the timer: its only purpose is that we are awake */
      uint64_t times;
      if (read(timer_fd, &times, sizeof times) < 0 && errno != EAGAIN) die("timer");
      continue;
    }
    if (c->lost) continue;
    if (events[i].events & EPOLLOUT && c->out_size) flush_out(c);
    if (!c->lost && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) readable(c);
  }
}

/* Publish what is due by now; the timer wakes us for the next one, so waiting costs nothing. */
static void publish_due(void) {
  uint64_t now = now_ns(), due;
  while ((due = grid_from + (uint64_t)(grid_at * 1e9 / opt.rate)) <= now) {
    if (measuring && now - due > latest_ns) latest_ns = now - due;
    publish(&clients[next_publisher], due);
    next_publisher = (next_publisher + 1) % opt.publishers;
    grid_at++;
  }
  if (due == armed_for) return;
  armed_for = due;
  struct itimerspec at = {.it_value = {.tv_sec = due / SECOND, .tv_nsec = due % SECOND}};
  timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void turn_until(uint64_t end_ns) {
  uint64_t now;
  while ((now = now_ns()) < end_ns) {
    if (opt.rate && publishing) publish_due();
    uint64_t left_ms = (end_ns - now) / 1000000 + 1;
    turn(left_ms < 100 ? (int)left_ms : 100);
  }
}

static void hold_at(const char *phase) {
  if (!opt.hold) return;
  printf("%s\n", phase);
  fflush(stdout);
  struct pollfd in = {.fd = 0, .events = POLLIN};
  for (uint64_t stop = now_ns() + HOLD_SECONDS * SECOND; now_ns() < stop && !poll(&in, 1, 0);) turn(5);
  char line;
  while (read(0, &line, 1) == 1 && line != '\n') {}
}

static double cpu_s(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* User and system time of the server in seconds; 0 when it is not known. proc(5): fields 14 and 15 of stat, and the
 * second one, the name, may hold anything up to its last parenthesis. */
static double server_cpu_s(void) {
  char path[64], text[1024], *name_end;
  snprintf(path, sizeof path, "/proc/%d/stat", opt.pid);
  FILE *file = opt.pid ? fopen(path, "r") : NULL;
  if (!file) return 0;
  size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = 0;
  unsigned long user = 0, system = 0;
  if ((name_end = strrchr(text, ')')))
    sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

static long server_rss_kb(void) {
  char path[64], line[256];
  long kb = 0;
  snprintf(path, sizeof path, "/proc/%d/status", opt.pid);
  FILE *file = opt.pid ? fopen(path, "r") : NULL;
  while (file && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &kb);
  if (file) fclose(file);
  return kb;
}

static void read_options(int argc, char **argv) {
  struct { const char *name; int *number; double *real; const char **text; } known[] = {
      {"--host", .text = &opt.host},          {"--path", .text = &opt.path},
      {"--port", .number = &opt.port},        {"--clients", .number = &opt.clients},
      {"--rooms", .number = &opt.rooms},      {"--publishers", .number = &opt.publishers},
      {"--window", .number = &opt.window},    {"--size", .number = &opt.size},
      {"--nats", .number = &opt.nats},        {"--sources", .number = &opt.sources},
      {"--hold", .number = &opt.hold},        {"--pid", .number = &opt.pid},
      {"--rate", .real = &opt.rate},          {"--seconds", .real = &opt.seconds},
      {"--warmup", .real = &opt.warmup},      {"--settle", .real = &opt.settle},
      {"--prefill", .number = &opt.prefill},
      {"--drain", .real = &opt.drain},        {"--open-seconds", .real = &opt.open_seconds},
  };
  for (int i = 1; i < argc; i += 2) {
    size_t k = 0;
    while (k < sizeof known / sizeof *known && strcmp(argv[i], known[k].name)) k++;
    if (k == sizeof known / sizeof *known || i + 1 == argc) {
      fprintf(stderr, "meter: unknown option or no value: %s\n", argv[i]);
      exit(2);
    }
    if (known[k].number) *known[k].number = atoi(argv[i + 1]);
    else if (known[k].real) *known[k].real = atof(argv[i + 1]);
    else *known[k].text = argv[i + 1];
  }
  if (opt.clients < 1 || opt.rooms < 1 || opt.publishers > opt.clients || opt.size > MAX_SIZE || opt.size < 64) {
    fprintf(stderr, "meter: numbers make no sense\n");
    exit(2);
  }
}

static void open_all(void) {
  uint64_t give_up = now_ns() + ns_of(opt.open_seconds);
  int started = 0;
  while (opened + failed < opt.clients && now_ns() < give_up) {
    while (started < opt.clients && started - opened - failed < CONNECTING_AT_ONCE) {
      open_client(&clients[started], started);
      started++;
    }
    turn(10);
  }
}

/* Until everything came, or nothing more comes, or the time is up. */
static void drain(void) {
  uint64_t stop = now_ns() + ns_of(opt.drain), seen = total_deliveries, quiet_since = now_ns();
  while (total_deliveries < total_expected && now_ns() < stop && now_ns() - quiet_since < QUIET_NS) {
    turn(10);
    if (total_deliveries != seen) seen = total_deliveries, quiet_since = now_ns();
  }
}

/* Send every member this many bytes in large messages and wait until they have them. One that does not read then has
 * full kernel buffers, which at the rate of the window would take it many seconds, and the server feels it. */
static void prefill(void) {
  double rate = opt.rate;
  int size = opt.size;
  opt.rate = 0, opt.size = PREFILL_SIZE, publishing = 1;
  for (int k = 0; k < PREFILL_WINDOW; k++) publish(&clients[0], now_ns());
  uint64_t stop = now_ns() + ns_of(opt.open_seconds);
  while (total_published * PREFILL_SIZE < (uint64_t)opt.prefill && now_ns() < stop) turn(10);
  publishing = 0;
  drain();
  opt.rate = rate, opt.size = size;
}

int main(int argc, char **argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  read_options(argc, argv);
  struct rlimit files = {0};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  epoll_fd = epoll_create1(0);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event timer = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &timer);
  clients = calloc(opt.clients, sizeof *clients);
  members = calloc(opt.rooms, sizeof *members);
  if (!clients || !members) die("calloc");

  hold_at("start");
  double open_cpu = server_cpu_s(), meter_cpu = cpu_s();
  long rss_before = server_rss_kb();
  uint64_t began = now_ns();
  open_all();
  double connect_s = (now_ns() - began) / 1e9;
  meter_cpu = cpu_s() - meter_cpu;
  turn_until(now_ns() + ns_of(opt.settle));
  open_cpu = server_cpu_s() - open_cpu;
  long rss_after = server_rss_kb();
  hold_at("open");

  for (int i = 0; i < opt.clients; i++) members[i % opt.rooms] += clients[i].open == 1 && !clients[i].lost;
  if (opt.prefill && opt.publishers) prefill();
  publishing = opt.publishers > 0;
  grid_from = now_ns();
  if (publishing && !opt.rate)
    for (int i = 0; i < opt.publishers; i++)
      for (int k = 0; k < opt.window; k++) publish(&clients[i], now_ns());
  turn_until(now_ns() + ns_of(opt.warmup));
  if (opt.rate && publishing) publish_due(); /* what the warm-up owes is not the window's */
  measuring = 1;
  double cpu = cpu_s(), server_cpu = server_cpu_s();
  window_from = opt.rate ? grid_from + (uint64_t)(grid_at * 1e9 / opt.rate) : now_ns();
  uint64_t from = now_ns();
  turn_until(from + ns_of(opt.seconds));
  double took_s = (now_ns() - from) / 1e9;
  cpu = cpu_s() - cpu;
  server_cpu = server_cpu_s() - server_cpu;
  window_to = now_ns();
  measuring = publishing = 0;
  drain();
  if (opt.rate && window_expected > latencies) count_latency(now_ns() - window_to, window_expected - latencies);
  hold_at("measured");

  printf("{\"clients\": %d, \"opened\": %d, \"lost\": %d, \"connect_s\": %.4f, \"open_server_cpu_s\": %.3f, "
         "\"open_meter_cpu_ratio\": %.4f, \"rss_before_kb\": %ld, \"rss_after_kb\": %ld, \"seconds\": %.4f, \"published_per_s\": %.1f, "
         "\"deliveries\": %llu, \"deliveries_per_s\": %.1f, \"bytes_in_per_s\": %.0f, \"p50_ms\": %.4f, "
         "\"p99_ms\": %.4f, \"max_ms\": %.4f, \"latencies\": %llu, \"late_ms\": %.3f, \"meter_cpu_ratio\": %.4f, "
         "\"server_cpu_s\": %.3f, \"total_published\": %llu, \"total_expected\": %llu, \"total_deliveries\": %llu}\n",
         opt.clients, opened, lost, connect_s, open_cpu, meter_cpu / connect_s, rss_before, rss_after, took_s, published / took_s,
         (unsigned long long)deliveries, deliveries / took_s, bytes_in / took_s, percentile_ms(0.5),
         percentile_ms(0.99), latency_max / 1e6, (unsigned long long)latencies, latest_ns / 1e6,
         opt.seconds > 0 ? cpu / took_s : 0,
         server_cpu, (unsigned long long)total_published, (unsigned long long)total_expected,
         (unsigned long long)total_deliveries);
  return opened == opt.clients ? 0 : 1;
}
