/* The interpreter's life: start, memory, files, and the state in which an image is taken. */
#include <Python.h>

#include <stdint.h>

#include "buffer.h"
#include "decimal.h"
#include "entropy.h"
#include "extension.h"
#include "failure.h"
#include "function.h"
#include "guest.h"
#include "immortal.h"
#include "platform.h"
#include "pools.h"
#include "temporal.h"
#include "unboxed.h"

enum { ABI_VERSION = 1 };

VIVARIUM_EXPORT(vivarium_abi_version)
int32_t
vivarium_abi_version(void)
{
    return ABI_VERSION;
}

VIVARIUM_EXPORT(vivarium_alloc)
void *
vivarium_alloc(uint32_t size)
{
    return aligned_allocate(size);
}

VIVARIUM_EXPORT(vivarium_free)
void
vivarium_free(void *memory)
{
    aligned_release(memory);
}

VIVARIUM_EXPORT(vivarium_mount)
int32_t
vivarium_mount(const void *archive, uint32_t len)
{
    return vivarium_fs_mount(archive, len);
}

/* Where modules are found. The standard library comes first, so that a file of the user called
 * `random.py` does not take the place of the module that others mean. */
static const wchar_t *const SEARCH_PATHS[] = {
    L"/lib/python3.13",
    L"/udf",
    L"/lib/site-packages",
};

static PyStatus
configure(PyConfig *config, uint32_t hash_seed)
{
    config->site_import = 0;
    config->install_signal_handlers = 0;
    config->pathconfig_warnings = 0;
    config->write_bytecode = 0;
    config->parse_argv = 0;
    config->use_hash_seed = 1;
    config->hash_seed = hash_seed;
    config->buffered_stdio = 1;
    config->module_search_paths_set = 1;
    PyStatus status = PyConfig_SetString(config, &config->program_name, L"python");
    for (size_t i = 0; !PyStatus_Exception(status) && i < 3; i++) {
        status = PyWideStringList_Append(&config->module_search_paths, SEARCH_PATHS[i]);
    }
    const struct {
        wchar_t **slot;
        const wchar_t *value;
    } strings[] = {
        {&config->home, L"/"},
        {&config->prefix, L"/"},
        {&config->exec_prefix, L"/"},
        {&config->base_prefix, L"/"},
        {&config->base_exec_prefix, L"/"},
        {&config->executable, L""},
        {&config->base_executable, L""},
        {&config->stdlib_dir, L"/lib/python3.13"},
        {&config->stdio_encoding, L"utf-8"},
        {&config->stdio_errors, L"backslashreplace"},
    };
    for (size_t i = 0; !PyStatus_Exception(status) && i < sizeof strings / sizeof strings[0]; i++) {
        status = PyConfig_SetString(config, strings[i].slot, strings[i].value);
    }
    return status;
}

static PyStatus
start(uint32_t hash_seed)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status)) {
        return status;
    }
    if (PyImport_AppendInittab("_vivarium", guest_module) < 0) {
        return PyStatus_NoMemory();
    }
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    status = configure(&config, hash_seed);
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    return status;
}

/* In a native process that already runs an interpreter only the module is missing. */
static bool
join_interpreter(void)
{
    PyObject *module = guest_module();
    if (module == NULL) {
        return false;
    }
    int status = PyDict_SetItemString(PyImport_GetModuleDict(), "_vivarium", module);
    Py_DECREF(module);
    return status == 0;
}

static bool
succeeds(PyObject *function)
{
    PyObject *result = PyObject_CallNoArgs(function);
    Py_XDECREF(result);
    return result != NULL;
}

/* Takes what is alive now out of the collector's sight: later collections neither visit it nor write
 * to its pages, which forks share. */
static bool
collect_and_freeze(void)
{
    return succeeds(guest.collect) && succeeds(guest.freeze);
}

/* The same for the interpreter itself, whose objects live for ever. */
static bool
collect_and_make_immortal(void)
{
#ifdef VIVARIUM_OWN_PYTHON
    /* The collector would let go of immortal objects: they are frozen before it runs again. */
    return succeeds(guest.collect) && immortal_make_all() && succeeds(guest.freeze) && pools_fill();
#else
    return collect_and_freeze();
#endif
}

/* Starts the interpreter and imports what functions are likely to need. 0, or -1 with
 * `vivarium_last_error`. */
VIVARIUM_EXPORT(vivarium_init)
int32_t
vivarium_init(int32_t hash_seed)
{
    failure_clear();
    failure_reserve();
    if (!Py_IsInitialized()) {
        PyStatus status = start((uint32_t)hash_seed);
        if (PyStatus_Exception(status)) {
            failure_set(FAILURE_INTERNAL, NULL, "the interpreter does not start: %s",
                        status.err_msg ? status.err_msg : "unknown reason");
            return -1;
        }
    } else if (!join_interpreter()) {
        failure_from_exception(FAILURE_INTERNAL);
        return -1;
    }
    PyObject *prelude = PyImport_ImportModule("vivarium._prelude");
    Py_XDECREF(prelude);
    if (prelude == NULL || !guest_bind() || !temporal_read_init() || !temporal_write_init() ||
        !extension_init() || !entropy_init()) {
        failure_from_exception(FAILURE_INTERNAL);
        return -1;
    }
    decimal_init();
    unboxed_init();
    if (!collect_and_make_immortal()) {
        failure_from_exception(FAILURE_INTERNAL);
        return -1;
    }
    return 0;
}

/* Last call before a snapshot. 0, or -1 with `vivarium_last_error`. */
VIVARIUM_EXPORT(vivarium_freeze)
int32_t
vivarium_freeze(void)
{
    failure_clear();
    guest_flush();
    if (!entropy_arm() || !collect_and_freeze()) {
        failure_from_exception(FAILURE_INTERNAL);
        return -1;
    }
    return 0;
}

/* Facts about the image that `vivarium_load` left behind, see ABI.md; -1 on failure. */
VIVARIUM_EXPORT(vivarium_image_flags)
int32_t
vivarium_image_flags(void)
{
    PyObject *flags = PyObject_CallNoArgs(guest.image_flags);
    long value = flags ? PyLong_AsLong(flags) : -1;
    Py_XDECREF(flags);
    PyErr_Clear();
    return (int32_t)value;
}
