#define _GNU_SOURCE
// A custom runtime in C: it answers every event with {"got":EVENT}, and the event "fail" with an error.
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { room = 1 << 16 };

static char id[128], event[room];

// request sends a request on a connection of its own and reads the answer, of which it keeps the request id and the body.
static int request(const char *head, const char *body) {
	char host[256], *port, answer[2 * room];
	snprintf(host, sizeof host, "%s", getenv("AWS_LAMBDA_RUNTIME_API"));
	port = strrchr(host, ':');
	*port++ = 0;
	struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *to;
	if (getaddrinfo(host, port, &want, &to) != 0) return -1;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	int failed = connect(s, to->ai_addr, to->ai_addrlen);
	freeaddrinfo(to);
	if (failed) return -1;
	char text[2 * room];
	int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: runtime\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
	if (write(s, text, n) != n) return -1;
	size_t have = 0;
	for (ssize_t got; (got = read(s, answer + have, sizeof answer - 1 - have)) > 0;) have += got;
	close(s);
	answer[have] = 0;
	char *rest = strstr(answer, "\r\n\r\n");
	if (!rest) return -1;
	*rest = 0;
	char *line = strcasestr(answer, "\r\nLambda-Runtime-Aws-Request-Id: ");
	if (line) sscanf(strchr(line, ':') + 2, "%127[^\r]", id);
	snprintf(event, sizeof event, "%s", rest + 4);
	return 0;
}

int main(void) {
	char head[512], answer[room + 64];
	for (;;) {
		if (request("GET /2018-06-01/runtime/invocation/next", "")) return 1;
		int fails = strcmp(event, "\"fail\"") == 0;
		snprintf(head, sizeof head, "POST /2018-06-01/runtime/invocation/%s/%s", id, fails ? "error" : "response");
		if (fails) snprintf(answer, sizeof answer, "{\"errorType\":\"Asked\",\"errorMessage\":\"it was asked to\"}");
		else snprintf(answer, sizeof answer, "{\"got\":%s}", event);
		if (request(head, answer)) return 1;
	}
}
