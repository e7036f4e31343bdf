/* Changes FILE in ways that are to hide who did it, or to have another named: evader DEED FILE [MORE].
 *
 * Says the pid of whoever made the change. Everybody waits for whom they started, so that all is done when the
 * first one ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void must(int good, const char *what)
{
    if (!good) { perror(what); _exit(9); }
}

static void say(pid_t pid)
{
    printf("%d\n", pid);
    fflush(stdout);
}

static void change(const char *file)
{
    say(getpid());
    must(!chmod(file, 0640), "chmod");
}

static void append(int fd)
{
    must(write(fd, "evil\n", 5) == 5, "write");
}

static int opened(const char *file)
{
    int fd = open(file, O_RDWR | O_CLOEXEC);
    must(fd >= 0, file);
    return fd;
}

/* A program is opened to be run, but is not: its words are too many. */
static void only_open(const char *program)
{
    static char *words[64];
    static char word[200000];
    memset(word, 'x', sizeof word - 1);
    for (int at = 0; at < 63; at++) words[at] = word;
    must(execve(program, words, environ) && errno == E2BIG, "E2BIG");
}

/* Our parent gets another child: the change is not by one whom we forked. */
static void sibling(const char *file)
{
    pid_t pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    must(pid >= 0, "clone");
    if (!pid) { change(file); _exit(0); }
}

/* Nobody waits for it, its parent is another by then, and it calls itself something else. */
static void daemonized(const char *file)
{
    int done[2];
    must(!pipe(done), "pipe");
    if (!fork()) {
        setsid();
        pid_t parent = getpid();
        if (!fork()) {
            while (getppid() == parent) usleep(1000);
            prctl(PR_SET_NAME, "x) R 1 1 \n");
            change(file);
            _exit(0);
        }
        _exit(0);
    }
    close(done[1]);
    char byte;
    must(read(done[0], &byte, 1) == 0, "read");
    while (wait(NULL) > 0);
}

/* Written to as memory; another one, who reads a socket, is the last to close it. */
static void handed(const char *file, const char *path)
{
    int fd = opened(file), door = socket(AF_UNIX, SOCK_DGRAM, 0);
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(memory != MAP_FAILED, "mmap");
    say(getpid());
    memory[0] ^= 1;
    must(!munmap(memory, 4096), "munmap");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    struct iovec text = {"x", 1};
    char room[CMSG_SPACE(sizeof fd)] = {0};
    struct msghdr head = {&to, sizeof to, &text, 1, room, sizeof room, 0};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&head);
    *rights = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    must(sendmsg(door, &head, 0) == 1, "sendmsg");
    close(fd);
}

static void memory(const char *file)
{
    int fd = opened(file);
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(memory != MAP_FAILED, "mmap");
    say(getpid());
    memory[0] ^= 1;
}

static void ring(const char *file)
{
    struct io_uring_params how = {0};
    int fd = opened(file), door = syscall(SYS_io_uring_setup, 4, &how);
    if (door < 0) _exit(77);
    char *queue = mmap(NULL, how.sq_off.array + how.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, door, 0);
    struct io_uring_sqe *work = mmap(NULL, how.sq_entries * sizeof *work, PROT_READ | PROT_WRITE, MAP_SHARED, door,
                                     IORING_OFF_SQES);
    must(queue != MAP_FAILED && work != MAP_FAILED, "mmap");
    *work = (struct io_uring_sqe){.opcode = IORING_OP_WRITE, .flags = IOSQE_ASYNC, .fd = fd,
                                  .addr = (unsigned long)"evil\n", .len = 5};
    *(unsigned *)(queue + how.sq_off.array) = 0;
    *(unsigned *)(queue + how.sq_off.tail) = 1;
    say(getpid());
    must(syscall(SYS_io_uring_enter, door, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1, "io_uring_enter");
}

static void by_handle(const char *file)
{
    struct { struct file_handle head; char room[128]; } handle = {.head = {.handle_bytes = 128}};
    int mount, here = open(".", O_RDONLY | O_DIRECTORY);
    must(!name_to_handle_at(AT_FDCWD, file, &handle.head, &mount, 0), "name_to_handle_at");
    int fd = open_by_handle_at(here, &handle.head, O_WRONLY);
    if (fd < 0) _exit(77);
    say(getpid());
    append(fd);
}

static void nameless(const char *file)
{
    char folder[4096], self[64];
    snprintf(folder, sizeof folder, "%s", file);
    *strrchr(folder, '/') = 0;
    int fd = open(folder, O_TMPFILE | O_WRONLY, 0600);
    if (fd < 0) _exit(77);
    append(fd);
    say(getpid());
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    unlink(file);
    must(!linkat(AT_FDCWD, self, AT_FDCWD, file, AT_SYMLINK_FOLLOW), "linkat");
}

/* Whoever was started with the file open writes, and by the way through /proc. */
static void inherited(const char *file, int through)
{
    int fd = open(file, O_RDWR);
    must(fd >= 0, file);
    pid_t pid = fork();
    if (!pid) {
        char name[64];
        snprintf(name, sizeof name, "/proc/%d/fd/%d", getppid(), fd);
        say(getpid());
        append(through ? opened(name) : fd);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

/* Whoever opened it has it taken out of their hands, and closes it last. */
static void taken(const char *file)
{
    int ready[2], ask[2], fd;
    char byte;
    must(!pipe(ready) && !pipe(ask), "pipe");
    pid_t pid = fork();
    if (!pid) {
        close(ask[1]);
        fd = open(file, O_RDWR);
        must(write(ready[1], &fd, sizeof fd) == sizeof fd && read(ask[0], &byte, 1) == 0, "pipe");
        _exit(0);
    }
    must(read(ready[0], &fd, sizeof fd) == sizeof fd, "pipe");
    fd = syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, pid, 0), fd, 0);
    if (fd < 0) _exit(77);
    say(getpid());
    append(fd);
    close(fd);
    close(ask[1]);
    waitpid(pid, NULL, 0);
}

/* The change is made, and then another program runs under the same pid: what it is now did not do it. */
static void then_another(const char *file)
{
    change(file);
    execl("/bin/true", "true", (char *)NULL);
}

/* As that, but first another program and its loader are opened as if they had been run; and what is run then is
 * a file without a name on a file system without marks, whose opening nobody sees. */
static void phantom(const char *file, const char *innocent)
{
    only_open(innocent);
    only_open("/lib64/ld-linux-x86-64.so.2");
    int program = memfd_create("x", MFD_CLOEXEC), self = open("/proc/self/exe", O_RDONLY);
    char part[65536];
    for (ssize_t got; (got = read(self, part, sizeof part)) > 0;) must(write(program, part, got) == got, "copy");
    char *words[] = {"dpkg", "chmod", (char *)file, NULL};
    syscall(SYS_execveat, program, "", words, environ, AT_EMPTY_PATH);
    must(0, "execveat");
}

static void phantom_before(const char *file, const char *innocent)
{
    only_open(innocent);
    only_open("/lib64/ld-linux-x86-64.so.2");
    change(file);
    execl("/proc/self/exe", "x", "nothing", file, (char *)NULL);
}

/* In a mount namespace of our own we are called as another program is. */
static void mounted_over(const char *file, const char *innocent, const char *self, const char *how)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) && unshare(CLONE_NEWNS)) _exit(77);
    must(!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    must(!mount(self, innocent, NULL, MS_BIND, NULL), "bind");
    execl(innocent, innocent, how, file, (char *)NULL);
    must(0, innocent);
}

/* A while after we were started, none of our memory is of our program's file any more, and then it is said that we
 * are another program's. */
static void said_to_be(const char *file, const char *innocent)
{
    struct { char *at; size_t size; int may; } part[16];
    struct prctl_mm_map map = {.brk = (unsigned long)sbrk(0), .exe_fd = open(innocent, O_RDONLY)};
    char self[4096] = {0}, line[8192], may[8];
    unsigned long from, to;
    int count = 0;
    usleep(500000);
    must(readlink("/proc/self/exe", self, sizeof self - 1) > 0, "readlink");
    FILE *maps = fopen("/proc/self/maps", "r"), *stat = fopen("/proc/self/stat", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, self) && sscanf(line, "%lx-%lx %7s", &from, &to, may) == 3) {
            part[count].at = (char *)from;
            part[count].size = to - from;
            part[count++].may = (may[0] == 'r') | (may[1] == 'w') << 1 | (may[2] == 'x') << 2;
        }
    must(fgets(line, sizeof line, stat) != NULL, "stat");
    char *word = strrchr(line, ')') + 2;
    __u64 *into[52] = {[26] = &map.start_code, [27] = &map.end_code, [28] = &map.start_stack,
                       [45] = &map.start_data, [46] = &map.end_data, [47] = &map.start_brk,
                       [48] = &map.arg_start, [49] = &map.arg_end, [50] = &map.env_start, [51] = &map.env_end};
    for (int at = 3; at < 52; at++, word = strchr(word, ' ') + 1)
        if (into[at]) *into[at] = strtoul(word, NULL, 10);
    for (int at = 0; at < count; at++) {
        void *copy = mmap(NULL, part[at].size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(copy != MAP_FAILED, "mmap");
        memcpy(copy, part[at].at, part[at].size);
        must(!mprotect(copy, part[at].size, part[at].may), "mprotect");
        must(mremap(copy, part[at].size, part[at].size, MREMAP_MAYMOVE | MREMAP_FIXED, part[at].at) != MAP_FAILED,
             "mremap");
    }
    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0)) { perror("prctl"); _exit(77); }
    usleep(50000);
    change(file);
    usleep(300000);
}

static void traced(const char *file)
{
    pid_t pid = fork();
    if (!pid) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); change(file); _exit(0); }
    int status;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) ptrace(PTRACE_CONT, pid, 0, 0);
}

/* A chain of programs under one pid, the change by the one in the middle. */
static void chain(const char *file, int left, const char *self)
{
    char number[16];
    if (left == 10) change(file);
    if (!left) return;
    snprintf(number, sizeof number, "%d", left - 1);
    execl(self, self, "chain", file, number, (char *)NULL);
}

/* An innocent writes to the file. */
static void innocent(const char *file)
{
    pid_t pid = fork();
    if (!pid) { append(open(file, O_WRONLY | O_APPEND)); _exit(0); }
    waitpid(pid, NULL, 0);
}

/* Right after an innocent, and by another name of the same file. */
static void by_link(const char *file, const char *other, int how)
{
    int fd = opened(other);
    innocent(file);
    say(getpid());
    if (how == 'w') append(fd);
    else if (how == 'a') must(!chmod(other, 0640), "chmod");
    else *(char *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ^= 1;
}

/* Right after an innocent as memory, which stays. */
static void kept(const char *file)
{
    int fd = opened(file);
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), byte;
    must(memory != MAP_FAILED, "mmap");
    close(fd);
    innocent(file);
    memory[0] ^= 1;
    say(getpid());
    must(read(0, &byte, 1) == 0, "read");
}

static void logged_in(const char *file, const char *login)
{
    int fd = open("/proc/self/loginuid", O_WRONLY);
    if (fd < 0 || write(fd, login, strlen(login)) < 0) _exit(77);
    pid_t pid = fork();
    if (!pid) { execl("/proc/self/exe", "x", "slowly", file, (char *)NULL); _exit(9); }
    waitpid(pid, NULL, 0);
}

int main(int count, char **words)
{
    const char *deed = words[1], *file = words[2], *more = count > 3 ? words[3] : "";
#define IS(name) else if (!strcmp(deed, name))
    if (0) ;
    IS("chmod") change(file);
    IS("nothing") ;
    IS("slowly") { usleep(50000); change(file); usleep(600000); }
    IS("sibling") sibling(file);
    IS("daemonized") daemonized(file);
    IS("handed") handed(file, more);
    IS("memory") memory(file);
    IS("ring") ring(file);
    IS("by-handle") by_handle(file);
    IS("nameless") nameless(file);
    IS("inherited") inherited(file, 0);
    IS("through-proc") inherited(file, 1);
    IS("then-another") then_another(file);
    IS("phantom") phantom(file, more);
    IS("phantom-before") phantom_before(file, more);
    IS("mounted-over") mounted_over(file, more, words[0], words[4]);
    IS("taken") taken(file);
    IS("said-to-be") said_to_be(file, more);
    IS("traced") traced(file);
    IS("chain") chain(file, atoi(more), words[0]);
    IS("logged-in") logged_in(file, more);
    IS("by-link") by_link(file, more, *words[4]);
    IS("kept") kept(file);
    IS("exchanged") { say(getpid()); must(!renameat2(AT_FDCWD, more, AT_FDCWD, file, RENAME_EXCHANGE), more); }
    IS("renamed") { say(getpid()); must(!rename(more, file), more); }
    else _exit(2);
    return 0;
}
