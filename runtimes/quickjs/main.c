/* The `javascript` runtime: quickjs-ng as a WASI preview 1 command that runs one script.
 *
 *   argv: [program, SCRIPT, ARGS...]   the script sees [SCRIPT, ARGS...] as scriptArgs
 *
 * stdin is std.in, stdout is print() and console.log/info/debug, stderr is console.error/warn/trace. A script with
 * import or export (or named *.mjs) is an ES module; relative imports are resolved against the importing file.
 * Exit code: 0 when the script and all jobs it started have ended, 1 when an exception reached the top or a promise
 * was rejected with nobody to catch it, 2 when there is no script, else what std.exit() was given.
 *
 * The limits on time and memory are the host's (fuel, linear memory). The stack is limited here, below what the
 * linker reserves, so that deep recursion is a RangeError that the script can catch and not the end of the guest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cutils.h"
#include "quickjs-libc.h"
#include "quickjs.h"

enum { kStackLimitBytes = 512 * 1024 };

/* What scripts written for Node or a browser expect of console and timers, over what QuickJS's own library has. */
static const char kPrelude[] =
    "import * as std from 'qjs:std';\n"
    "import * as os from 'qjs:os';\n"
    "import * as bjson from 'qjs:bjson';\n"
    "const show = (value) => {\n"
    "  if (typeof value === 'string') return value;\n"
    "  if (value instanceof Error) return `${value}\\n${value.stack ?? ''}`.trimEnd();\n"
    "  if (typeof value === 'object' && value !== null) {\n"
    "    if (value instanceof Map) return `Map(${value.size}) ${show([...value])}`;\n"
    "    if (value instanceof Set) return `Set(${value.size}) ${show([...value])}`;\n"
    "    try {\n"
    "      const text = JSON.stringify(value, (key, v) => (typeof v === 'bigint' ? `${v}n` : v));\n"
    "      if (text !== undefined) return text;\n"
    "    } catch {}\n"
    "  }\n"
    "  try { return String(value); } catch { return Object.prototype.toString.call(value); }\n"
    "};\n"
    "const writer = (file) => (...values) => { file.puts(values.map(show).join(' ') + '\\n'); file.flush(); };\n"
    "const out = writer(std.out), err = writer(std.err);\n"
    "Object.assign(globalThis.console, {log: out, info: out, debug: out, error: err, warn: err, trace: err});\n"
    "globalThis.print = out;\n"
    "for (const name of ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'])\n"
    "  if (os[name] && !globalThis[name]) globalThis[name] = os[name];\n"
    "Object.assign(globalThis, {std, os, bjson});\n";

/* The promise of the script itself: its rejection is reported as the script's error, not as a stray promise. */
static JSValue script_promise = JS_UNDEFINED;

static void track_rejection(JSContext* context, JSValueConst promise, JSValueConst reason, bool is_handled,
                            void* opaque) {
  if (JS_IsObject(script_promise) && JS_VALUE_GET_PTR(promise) == JS_VALUE_GET_PTR(script_promise)) return;
  js_std_promise_rejection_tracker(context, promise, reason, is_handled, opaque);
}

static int evaluate(JSContext* context, const char* text, size_t length, const char* name, bool is_module) {
  JSValue value;
  if (is_module) {
    /* Compiled first and run after, so that import.meta is there when the module starts. */
    value = JS_Eval(context, text, length, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (!JS_IsException(value)) {
      if (js_module_set_import_meta(context, value, false, true) < 0) {
        JS_FreeValue(context, value);
        js_std_dump_error(context);
        return -1;
      }
      value = JS_EvalFunction(context, value);
    }
    /* All jobs that are ready run before a timer is waited for, as everywhere else in JavaScript; js_std_await alone
     * would wait after each job. */
    script_promise = value;
    if (!JS_IsException(value) && JS_PromiseState(context, value) != JS_PROMISE_REJECTED && js_std_loop(context)) {
      JS_FreeValue(context, value);
      value = JS_EXCEPTION;
    }
    script_promise = JS_UNDEFINED;
    if (!JS_IsException(value) && JS_PromiseState(context, value) == JS_PROMISE_PENDING) {
      fprintf(stderr, "javascript: %s awaits something that nothing will ever settle\n", name);
      JS_FreeValue(context, value);
      return -1;
    }
    value = js_std_await(context, value);
  } else {
    value = JS_Eval(context, text, length, name, JS_EVAL_TYPE_GLOBAL);
  }
  const int result = JS_IsException(value) ? -1 : 0;
  if (result < 0) js_std_dump_error(context);
  JS_FreeValue(context, value);
  return result;
}

static void dynamic_import(JSContext* context, const char* base, const char* name, JSValue token,
                           JSValueConst attributes, void* opaque) {
  (void)opaque;
  JSValue exception = JS_UNDEFINED;
  JSValue promise = JS_LoadModule(context, base, name, attributes);
  if (JS_IsException(promise)) exception = JS_GetException(context);
  if (JS_FinishDynamicImport(context, token, promise, exception)) js_std_dump_error(context);
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "javascript: no script was given\n");
    return 2;
  }
  JSRuntime* runtime = JS_NewRuntime();
  if (!runtime) {
    fprintf(stderr, "javascript: no memory for the runtime\n");
    return 2;
  }
  JS_SetMaxStackSize(runtime, kStackLimitBytes);
  js_std_init_handlers(runtime);
  JSContext* context = JS_NewContext(runtime);
  if (!context || !js_init_module_std(context, "qjs:std") || !js_init_module_os(context, "qjs:os") ||
      !js_init_module_bjson(context, "qjs:bjson")) {
    fprintf(stderr, "javascript: no memory for the context\n");
    return 2;
  }
  JS_SetModuleLoaderFunc2(runtime, NULL, js_module_loader, js_module_check_attributes, NULL);
  JS_SetDynamicImportFunc(runtime, dynamic_import, NULL);
  JS_SetHostPromiseRejectionTracker(runtime, track_rejection, NULL);
  js_std_add_helpers(context, argc - 1, argv + 1);
  if (evaluate(context, kPrelude, sizeof kPrelude - 1, "<prelude>", true) < 0) return 1;

  size_t length = 0;
  char* text = (char*)js_load_file(context, &length, argv[1]);
  if (!text) {
    fprintf(stderr, "javascript: %s: ", argv[1]);
    perror(NULL);
    return 2;
  }
  const bool is_module = js__has_suffix(argv[1], ".mjs") || JS_DetectModule(text, length);
  int failed = evaluate(context, text, length, argv[1], is_module) < 0;
  if (!failed && js_std_loop(context)) {
    js_std_dump_error(context);
    failed = 1;
  }
  /* The host drops the whole memory at once: freeing object by object would only burn the guest's fuel. */
  fflush(stdout);
  fflush(stderr);
  return failed;
}
