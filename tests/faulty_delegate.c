/* An external delegate that fails where its option `fault` says; it takes every op, and gives zeros.
   Layouts as in tflite/core/c/common.h of https://github.com/google-ai-edge/LiteRT (no headers needed). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct {
  int type; void *data; void *dims; float scale; int zero_point; int allocation_type; size_t bytes; const void *allocation;
  const char *name; void *delegate; int handle; char stale, variable; struct { int type; void *params; } quantization;
  void *sparsity, *signature;
} Tensor;
typedef struct { IntArray *inputs, *outputs; } Node;
typedef struct Context Context;
typedef struct Delegate { void *data; int (*prepare)(Context *, struct Delegate *); void *copy[3]; int64_t flags; void *opaque; } Delegate;
typedef struct {
  void *(*init)(Context *, const char *, size_t); void (*free)(Context *, void *);
  int (*prepare)(Context *, void *); int (*invoke)(Context *, void *);
  void *profile; int32_t builtin; const char *name; int version; void *external; void *async; uint64_t inplace;
} Registration;
struct Context {
  size_t tensors_size; int (*plan)(Context *, IntArray **); Tensor *tensors; void *impl, *resize, *report, *add, *node;
  int (*replace)(Context *, Registration, const IntArray *, Delegate *);
};

static char fault[32];
static int is(const char *name) { return strcmp(fault, name) == 0; }
static void fail(const char *stage) {
  char name[40];
  strcpy(name, stage); strcat(name, "_abort"); if (is(name)) abort();
  strcpy(name, stage); strcat(name, "_crash"); if (is(name)) *(volatile int *)0 = 1;
  strcpy(name, stage); strcat(name, "_exit"); if (is(name)) _exit(127);
  strcpy(name, stage); strcat(name, "_hang"); if (is(name)) for (;;) sleep(1);
}
static void *init(Context *c, const char *b, size_t n) { (void)c; (void)b; (void)n; return 0; }
static void release(Context *c, void *p) { (void)c; (void)p; }
static int ready(Context *c, void *n) { (void)c; (void)n; return 0; }
static int invoke(Context *c, void *n) {
  static int count;
  const IntArray *outputs = ((Node *)n)->outputs;
  fail("invoke");
  if (++count > 3) fail("late"); /* once it was trusted */
  for (int i = 0; i < outputs->size && !is("writes_nothing"); i++)
    memset(c->tensors[outputs->data[i]].data, 0, c->tensors[outputs->data[i]].bytes);
  return is("invoke_fail");
}
static int prepare(Context *context, Delegate *delegate) {
  IntArray *plan;
  fail("prepare");
  if (is("prepare_fail")) return 1;
  if (is("takes_nothing")) return 0;
  context->plan(context, &plan);
  Registration mine = {init, release, ready, invoke, 0, 0, "Faulty", 1, 0, 0, 0};
  return context->replace(context, mine, plan, delegate);
}
Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  static Delegate delegate;
  for (size_t i = 0; i < count; i++) if (strcmp(keys[i], "fault") == 0) strncpy(fault, values[i], sizeof fault - 1);
  fail("create");
  if (is("create_fail")) { report("it was asked to fail"); return 0; }
  memset(&delegate, 0, sizeof delegate);
  delegate.prepare = prepare;
  return &delegate;
}
void tflite_plugin_destroy_delegate(Delegate *delegate) { (void)delegate; }
