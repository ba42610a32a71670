// A file system with faults, between a process and the C library (LD_PRELOAD). Its environment says which; it may
// change at any time. FAULT_<call>=N: that call fails with errno N.
//   FLOCK, FOLDERSYNC (fsync of a folder), FILESYNC, FALLOCATE, RENAME, LINK, CHMOD
// FAULT_IO=PART:N, FAULT_IO=PART:N+: the N-th write, sync or truncation of a file whose path has PART in it fails with
// EIO; with a + all later ones too. FAULT_KILL=END:N: the process is killed in the N-th short write across a page of
// a file whose path ends in END, behind the part before the page.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fault(const char *name) {
  const char *value = getenv(name);
  return value ? atoi(value) : 0;
}

static int path_of(int fd, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return 1;
}

// Whether an operation on a file is the one that is to fail. The count begins anew when the order changes.
static int ordered(int fd, const char *variable, int at_end) {
  static char seen[2][512];
  static long counts[2];
  const char *order = getenv(variable);
  char path[4096], part[512];
  if (!order || strlen(order) >= sizeof seen[0]) return 0;
  if (strcmp(order, seen[at_end])) { strcpy(seen[at_end], order); counts[at_end] = 0; }
  strcpy(part, order);
  char *number = strrchr(part, ':');
  if (!number || !path_of(fd, path, sizeof path)) return 0;
  *number++ = 0;
  char *found = strstr(path, part);
  if (!found || (at_end && strcmp(path + strlen(path) - strlen(part), part))) return 0;
  long count = ++counts[at_end], wanted = atol(number);
  return count == wanted || (count > wanted && number[strlen(number) - 1] == '+');
}

static int io_fails(int fd) {
  if (!ordered(fd, "FAULT_IO", 0)) return 0;
  errno = EIO;
  return 1;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define FAILS(name) do { int code = fault(name); if (code) { errno = code; return -1; } } while (0)

int flock(int fd, int operation) { REAL(int, "flock", int, int); FAILS("FAULT_FLOCK"); return real(fd, operation); }
int rename(const char *from, const char *to) { REAL(int, "rename", const char *, const char *); FAILS("FAULT_RENAME"); return real(from, to); }
int link(const char *from, const char *to) { REAL(int, "link", const char *, const char *); FAILS("FAULT_LINK"); return real(from, to); }
int chmod(const char *path, mode_t mode) { REAL(int, "chmod", const char *, mode_t); FAILS("FAULT_CHMOD"); return real(path, mode); }
int posix_fallocate(int fd, off_t at, off_t size) {
  REAL(int, "posix_fallocate", int, off_t, off_t);
  int code = fault("FAULT_FALLOCATE");
  return code ? code : real(fd, at, size);
}
int posix_fallocate64(int fd, off64_t at, off64_t size) {
  REAL(int, "posix_fallocate64", int, off64_t, off64_t);
  int code = fault("FAULT_FALLOCATE");
  return code ? code : real(fd, at, size);
}
int fsync(int fd) {
  REAL(int, "fsync", int);
  struct stat about;
  if (!fstat(fd, &about)) FAILS(S_ISDIR(about.st_mode) ? "FAULT_FOLDERSYNC" : "FAULT_FILESYNC");
  return io_fails(fd) ? -1 : real(fd);
}
int ftruncate(int fd, off_t size) { REAL(int, "ftruncate", int, off_t); return io_fails(fd) ? -1 : real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(int, "ftruncate64", int, off64_t); return io_fails(fd) ? -1 : real(fd, size); }
ssize_t write(int fd, const void *data, size_t size) { REAL(ssize_t, "write", int, const void *, size_t); return io_fails(fd) ? -1 : real(fd, data, size); }

static ssize_t put(int fd, const void *data, size_t size, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  size_t first = 4096 - (size_t)(at & 4095);
  if (first < size && size < 4096 && ordered(fd, "FAULT_KILL", 1)) {
    ssize_t written = real(fd, data, first, at);
    (void)written;
    kill(getpid(), SIGKILL);
    pause();
  }
  return io_fails(fd) ? -1 : real(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return put(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return put(fd, data, size, at); }
