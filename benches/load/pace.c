/* Sends requests at a constant rate, whether or not earlier ones have been answered, and tells how long each took
 * *from the moment it was due*: a server that stalls delays later requests too, and that is part of what they took.
 *
 * Usage: pace PORT PATH RATE SECONDS CONNECTIONS [TOKENS]
 *
 * TOKENS is a file of bearer tokens, one a line, that are sent in turn. An answer of 429 counts as refused, and only answers of
 * 200 have their time counted.
 * A request that is due while every connection waits for an answer is sent by the first one that is free again.
 * The first half second is not counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 4096, TOKENS = 256, GRACE_SECONDS = 3 };
static const int64_t SECOND = 1000000000;

struct client {
    int socket;
    int64_t due; /* of the request on its way; 0 when there is none */
    char head[HEAD + 1];
    size_t read, whole; /* bytes of the answer; all that it has, once known */
    struct client *next;
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static char requests[TOKENS][HEAD];
static int different; /* requests */
static int poller;
static struct client *first_idle, *last_idle;
static int64_t *took, begin, interval;
static long number, warm_up, sent, answered, refused, failed;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

static void open_connection(struct client *client) {
    client->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->socket < 0) fail("socket");
    int yes = 1;
    setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(client->socket, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, client->socket, &event) < 0) fail("epoll_ctl");
}

/* In turn: each connection is used as often as any other. */
static void rest(struct client *client) {
    client->due = 0;
    client->next = NULL;
    if (last_idle) last_idle->next = client;
    else first_idle = client;
    last_idle = client;
}

static void lost(struct client *client) {
    if (client->due) failed++;
    close(client->socket);
    open_connection(client);
}

/* Sends what is due on connections that are free. */
static void send_due(void) {
    int64_t time = now();
    while (sent < number && first_idle && begin + sent * interval <= time) {
        struct client *client = first_idle;
        first_idle = client->next;
        if (!first_idle) last_idle = NULL;
        client->due = begin + sent * interval;
        client->read = client->whole = 0;
        const char *request = requests[sent % different];
        size_t length = strlen(request);
        sent++;
        if (send(client->socket, request, length, MSG_NOSIGNAL) != (ssize_t)length) {
            lost(client);
            rest(client);
        }
    }
}

static void receive(struct client *client) {
    char piece[16384];
    ssize_t length = recv(client->socket, piece, sizeof piece, 0);
    if (length <= 0 || !client->due) {
        bool busy = client->due != 0;
        lost(client);
        if (busy) rest(client);
        return;
    }
    if (client->read < HEAD) {
        size_t room = HEAD - client->read, part = (size_t)length < room ? (size_t)length : room;
        memcpy(client->head + client->read, piece, part);
    }
    client->read += (size_t)length;
    if (!client->whole) {
        client->head[client->read < HEAD ? client->read : HEAD] = 0;
        char *end = strstr(client->head, "\r\n\r\n"), *announced = strcasestr(client->head, "\r\ncontent-length:");
        if (!end || !announced) return;
        client->whole = (size_t)(end + 4 - client->head) + strtoul(announced + 17, NULL, 10);
    }
    if (client->read < client->whole) return;
    bool in_time = (client->due - begin) / interval >= warm_up;
    if (client->read == client->whole && !strncmp(client->head, "HTTP/1.1 429 ", 13)) refused += in_time;
    else if (client->read > client->whole || strncmp(client->head, "HTTP/1.1 200 ", 13)) failed++;
    else if (in_time) took[answered++] = now() - client->due;
    rest(client);
}

static int by_size(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static double at(double share) {
    return answered ? (double)took[(long)(share * (double)(answered - 1))] / 1000 : 0;
}

static void write_request(const char *path, const char *name, const char *token, const char *end) {
    if (different == TOKENS) {
        fprintf(stderr, "more than %d tokens\n", TOKENS);
        exit(1);
    }
    int length = snprintf(requests[different++], HEAD, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n", path, name, token, end);
    if (length >= HEAD) {
        fprintf(stderr, "a request of %d bytes is too long\n", length);
        exit(1);
    }
}

static void write_requests(const char *path, const char *tokens) {
    if (!tokens) return write_request(path, "", "", "");
    FILE *file = fopen(tokens, "r");
    if (!file) fail(tokens);
    char token[HEAD];
    while (fgets(token, sizeof token, file)) {
        token[strcspn(token, "\n")] = 0;
        write_request(path, "Authorization: Bearer ", token, "\r\n");
    }
    fclose(file);
    if (!different) fail("no token");
}

int main(int argc, char **argv) {
    if (argc != 6 && argc != 7) {
        fprintf(stderr, "Usage: %s PORT PATH RATE SECONDS CONNECTIONS [TOKENS]\n", argv[0]);
        return 2;
    }
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    write_requests(argv[2], argv[6]);
    long rate = atol(argv[3]);
    int connections = atoi(argv[5]);
    interval = SECOND / rate;
    warm_up = rate / 2;
    number = (long)(atof(argv[4]) * (double)rate) + warm_up;

    /* Without it, timers of an ordinary process fire up to 50 µs late. */
    prctl(PR_SET_TIMERSLACK, 1);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct client *clients = calloc((size_t)connections, sizeof *clients);
    took = calloc((size_t)number, sizeof *took);
    if (poller < 0 || timer < 0 || !clients || !took) fail("start");
    for (int index = 0; index < connections; index++) {
        open_connection(&clients[index]);
        rest(&clients[index]);
    }
    begin = now() + SECOND / 10;
    int64_t due = begin;
    struct itimerspec every = {
        .it_interval = {interval / SECOND, interval % SECOND}, .it_value = {due / SECOND, due % SECOND}};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &every, NULL) < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event) < 0)
        fail("timer");

    int64_t end = begin + number * interval + GRACE_SECONDS * SECOND;
    bool waiting = true;
    while (waiting && now() < end) {
        struct epoll_event events[64];
        int ready = epoll_wait(poller, events, 64, 100);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        for (int index = 0; index < ready; index++) {
            struct client *client = events[index].data.ptr;
            uint64_t ticks;
            if (client) receive(client);
            else if (read(timer, &ticks, sizeof ticks) < 0) fail("timer");
        }
        send_due();
        waiting = sent < number;
        for (int index = 0; index < connections && !waiting; index++) waiting = clients[index].due != 0;
    }
    for (int index = 0; index < connections; index++) failed += clients[index].due != 0;
    failed += number - sent;

    qsort(took, (size_t)answered, sizeof *took, by_size);
    printf("answered %ld\nrefused %ld\nfailed %ld\np50 %.1f\np90 %.1f\np99 %.1f\np99.9 %.1f\nmax %.1f\n",
           answered, refused, failed, at(0.5), at(0.9), at(0.99), at(0.999), at(1));
    return 0;
}
