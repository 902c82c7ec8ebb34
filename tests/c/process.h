/* What this process has open, and what its etcd has counted. */
#ifndef PROCESS_H
#define PROCESS_H

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static inline int entries(const char *folder) {
    DIR *dir = opendir(folder);
    int n = -2; /* `.` and `..` */
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static inline int threads(void) {
    return entries("/proc/self/task");
}

/* One more than there are, for as long as it looks. */
static inline int descriptors(void) {
    return entries("/proc/self/fd");
}

/* A number of a line "NAME: NUMBER" of /proc/self/status. */
static inline long status_of(const char *name) {
    char line[256];
    long found = -1;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            found = atol(line + strlen(name) + 1);
    fclose(status);
    return found;
}

/* The port of "http://127.0.0.1:PORT". */
static inline int port_of(const char *endpoint) {
    return atoi(strrchr(endpoint, ':') + 1);
}

/* Connections that lead to this port, of all processes here. */
static inline int connections_to(int port) {
    char line[256];
    unsigned remote, state;
    int found = 0;
    FILE *table = fopen("/proc/self/net/tcp", "r");
    CHECK(table != NULL);
    while (fgets(line, sizeof line, table) != NULL)
        if (sscanf(line, " %*d: %*x:%*x %*x:%x %x", &remote, &state) == 2)
            found += remote == (unsigned)port && state == 1; /* established */
    fclose(table);
    return found;
}

/* The sum of etcd's counters of this name, of those with `label` in them. */
static inline double counted(const char *endpoint, const char *name, const char *label) {
    static char text[4 << 20];
    const char *request = "GET /metrics HTTP/1.0\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(endpoint))};
    size_t size = 0;
    ssize_t n;
    double sum = 0;
    int seen = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQUAL(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    CHECK_EQUAL(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while ((n = read(fd, text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)n;
    close(fd);
    text[size] = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strncmp(line, name, strlen(name)) == 0 && strstr(line, label) != NULL) {
            sum += atof(strrchr(line, ' '));
            seen++;
        }
    CHECK(seen > 0); /* etcd has no such counter any more */
    return sum;
}

#endif
