/* Opens TLS 1.3 connections, each for one request, so many at a time; with full handshakes or with resumed sessions.
 *
 * Usage: connections PORT PATH AT_A_TIME SECONDS full|resumed
 *
 * A resumed connection offers the newest ticket that the server sent to its predecessor, once, as RFC 8446 appendix
 * C.4 wants it. Whether the server took it is asked of the TLS library after each handshake and counted. A connection
 * is completed when its answer is 200, has the announced length, and the server has closed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 4096, GRACE_SECONDS = 3 };

struct client {
    int socket;
    SSL *tls;
    SSL_SESSION *session; /* what the next connection will offer */
    bool connected;
    char head[HEAD + 1]; /* the answer's first bytes */
    size_t read;
    bool open;
};

static struct { long completed, failed, full, resumed; } count;
static SSL_CTX *context;
static struct sockaddr_in server = {.sin_family = AF_INET};
static char request[1024];
static int request_length, poller;
static bool resume;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int keep_ticket(SSL *tls, SSL_SESSION *session) {
    struct client *client = SSL_get_app_data(tls);
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

static void start(struct client *client) {
    client->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->socket < 0) fail("socket");
    int yes = 1;
    setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(client->socket, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) fail("connect");
    client->tls = SSL_new(context);
    if (!client->tls || !SSL_set_fd(client->tls, client->socket)) fail("SSL_new");
    SSL_set_app_data(client->tls, client);
    SSL_set_tlsext_host_name(client->tls, "localhost");
    if (resume && client->session) {
        SSL_set_session(client->tls, client->session);
        SSL_SESSION_free(client->session);
        client->session = NULL;
    }
    client->connected = false;
    client->read = 0;
    client->open = true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = client};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, client->socket, &event) < 0) fail("epoll_ctl");
}

/* Whether the answer is 200 and as long as it announced. */
static bool complete(struct client *client) {
    client->head[client->read < HEAD ? client->read : HEAD] = 0;
    if (strncmp(client->head, "HTTP/1.1 200 ", 13)) return false;
    char *end = strstr(client->head, "\r\n\r\n"), *length = strcasestr(client->head, "\r\ncontent-length:");
    if (!end || !length || length > end) return false;
    return client->read == (size_t)(end + 4 - client->head) + strtoul(length + 17, NULL, 10);
}

static void finish(struct client *client) {
    if (complete(client)) count.completed++;
    else count.failed++;
    /* An SSL that is freed without this marks its session, and so its ticket, as not to be resumed. */
    SSL_set_shutdown(client->tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client->tls);
    close(client->socket);
    client->open = false;
    ERR_clear_error();
}

/* Goes on as far as the socket allows; true when the connection has ended. */
static bool advance(struct client *client) {
    if (!client->connected) {
        int done = SSL_connect(client->tls);
        if (done != 1) {
            int error = SSL_get_error(client->tls, done);
            return error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
        }
        client->connected = true;
        if (SSL_session_reused(client->tls)) count.resumed++;
        else count.full++;
        /* A request of this size fits an empty socket buffer. */
        if (SSL_write(client->tls, request, request_length) != request_length) return true;
    }
    for (;;) {
        char piece[16384];
        int length = SSL_read(client->tls, piece, sizeof piece);
        if (length <= 0) return SSL_get_error(client->tls, length) != SSL_ERROR_WANT_READ;
        if (client->read < HEAD) {
            size_t room = HEAD - client->read, part = (size_t)length < room ? (size_t)length : room;
            memcpy(client->head + client->read, piece, part);
        }
        client->read += (size_t)length;
    }
}

int main(int argc, char **argv) {
    if (argc != 6 || (strcmp(argv[5], "full") && strcmp(argv[5], "resumed"))) {
        fprintf(stderr, "Usage: %s PORT PATH AT_A_TIME SECONDS full|resumed\n", argv[0]);
        return 2;
    }
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    request_length = snprintf(request, sizeof request,
                              "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", argv[2]);
    int number = atoi(argv[3]);
    resume = !strcmp(argv[5], "resumed");

    context = SSL_CTX_new(TLS_client_method());
    /* The same key exchange and cipher with every server; left to themselves they choose differently. */
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION)
        || !SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384") || !SSL_CTX_set1_groups_list(context, "X25519")) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    if (resume) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep_ticket);
    }

    poller = epoll_create1(EPOLL_CLOEXEC);
    struct client *clients = calloc((size_t)number, sizeof *clients);
    if (poller < 0 || !clients) fail("start");
    double end = now() + atof(argv[4]);
    int open = number;
    for (int index = 0; index < number; index++) start(&clients[index]);
    while (open > 0 && now() < end + GRACE_SECONDS) {
        struct epoll_event events[64];
        int ready = epoll_wait(poller, events, 64, 100);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        for (int index = 0; index < ready; index++) {
            struct client *client = events[index].data.ptr;
            if (!client->open || !advance(client)) continue;
            finish(client);
            if (now() < end) start(client);
            else open--;
        }
    }
    count.failed += open;
    printf("completed %ld\nfailed %ld\nfull %ld\nresumed %ld\n", count.completed, count.failed, count.full, count.resumed);
    return 0;
}
