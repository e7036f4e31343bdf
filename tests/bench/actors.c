/* Stands for the programs of a host in tests/bench/actors.py, by the name it is called by.
 *
 * session  runs the commands it reads (words parted by tabs, one command a line), and answers "pid status".
 * sshd     accepts connections on a port, reads "login uid\n", and starts a session for it as sshd does: a child
 *          that sets the login uid, and below it another user's, with the connection as its terminal.
 * login    the same for one user, without a network: its own input and output.
 * storm    runs a program so many times a second for so many seconds; says how many it was.
 * forks    forks so many times a second, without running anything.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int session(void)
{
    static char line[65536];
    while (fgets(line, sizeof line, stdin)) {
        char *words[64];
        int count = 0, status = 0;
        line[strcspn(line, "\n")] = 0;
        for (char *word = strtok(line, "\t"); word && count < 63; word = strtok(NULL, "\t"))
            words[count++] = word;
        words[count] = NULL;
        pid_t pid = fork();
        if (!pid) {
            int null = open("/dev/null", O_RDWR);
            dup2(null, 0); dup2(null, 1);
            execv(words[0], words);
            _exit(127);
        }
        waitpid(pid, &status, 0);
        printf("%d %d\n", pid, WEXITSTATUS(status));
        fflush(stdout);
    }
    return 0;
}

static void log_in(int login, int uid, const char *program)
{
    int file = open("/proc/self/loginuid", O_WRONLY);
    char text[16];
    int length = snprintf(text, sizeof text, "%d", login);
    if (file < 0 || write(file, text, length) != length) { perror("loginuid"); _exit(1); }
    close(file);
    pid_t pid = fork();
    if (pid) { waitpid(pid, NULL, 0); _exit(0); }
    setsid();
    if (setgid(uid) || setuid(uid)) _exit(1);
    execl(program, "session", (char *)NULL);
    _exit(127);
}

static int serve(int port, const char *program)
{
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 64)) { perror("listen"); return 1; }
    puts("ready"); fflush(stdout);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int line = accept(door, NULL, NULL);
        if (line < 0) return 1;
        if (fork()) { close(line); continue; }
        signal(SIGCHLD, SIG_DFL);
        char text[32]; int length = 0;
        while (length < 31 && read(line, text + length, 1) == 1 && text[length] != '\n') length++;
        text[length] = 0;
        dup2(line, 0); dup2(line, 1);
        char *rest; int login = strtol(text, &rest, 10);
        log_in(login, atoi(rest), program);
    }
}

static int storm(int rate, double seconds, char **words)
{
    struct timespec next, now;
    long made = 0, gap = 1000000000L / rate;
    clock_gettime(CLOCK_MONOTONIC, &next);
    double end = next.tv_sec + next.tv_nsec / 1e9 + seconds;
    int running = 0;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec + now.tv_nsec / 1e9 >= end) break;
        pid_t pid = vfork();
        if (!pid) { if (words[0]) execv(words[0], words); _exit(0); }
        made++; running++;
        while (running && waitpid(-1, NULL, running > 32 ? 0 : WNOHANG) > 0) running--;
        next.tv_nsec += gap;
        if (next.tv_nsec >= 1000000000L) { next.tv_nsec -= 1000000000L; next.tv_sec++; }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    while (wait(NULL) > 0) ;
    printf("%ld\n", made);
    return 0;
}

int main(int count, char **words)
{
    char *name = strrchr(words[0], '/');
    name = name ? name + 1 : words[0];
    char *none[] = {NULL};
    if (!strcmp(name, "session")) return session();
    if (!strcmp(name, "login")) log_in(atoi(words[1]), atoi(words[2]), words[3]);
    if (!strcmp(name, "sshd")) return serve(atoi(words[1]), words[2]);
    if (!strcmp(name, "storm")) return storm(atoi(words[1]), atof(words[2]), words + 3);
    if (!strcmp(name, "forks")) return storm(atoi(words[1]), atof(words[2]), none);
    return count > 90;
}
