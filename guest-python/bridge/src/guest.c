#include "guest.h"

#include "batch.h"
#include "block.h"
#include "column.h"
#include "failure.h"
#include "map.h"
#include "platform.h"
#include "unboxed.h"

Guest guest;

static PyObject *name_flush;

static PyObject *
put_file(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    const char *path, *data;
    Py_ssize_t path_len, len;
    if (!PyArg_ParseTuple(arguments, "s#y#", &path, &path_len, &data, &len)) {
        return NULL;
    }
    return PyLong_FromLong(vivarium_fs_put(path, (size_t)path_len, data, (size_t)len, 1));
}

static PyMethodDef methods[] = {
    {"put_file", put_file, METH_VARARGS,
     "put_file(path, data): creates a read-only file; 0 or a WASI errno"},
    {"unboxed_rows", unboxed_count, METH_NOARGS,
     "unboxed_rows(): how many rows were calculated without the interpreter, see unboxed.h"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_vivarium",
    .m_size = -1,
    .m_methods = methods,
};

PyObject *
guest_module(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && (PyModule_AddStringConstant(module, "udf_root", VIVARIUM_UDF_ROOT) < 0 ||
                           !failure_init(module) || !block_init() || !column_init(module) ||
                           !batch_init(module) || !map_init())) {
        Py_CLEAR(module);
    }
    return module;
}

static PyObject *
attribute(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL) {
        return NULL;
    }
    PyObject *value = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return value;
}

bool
guest_bind(void)
{
    const struct {
        PyObject **slot;
        const char *module, *name;
    } wanted[] = {
        {&guest.describe_exception, "vivarium._errors", "describe_exception"},
        {&guest.describe_value, "vivarium._errors", "describe_value"},
        {&guest.load, "vivarium._loader", "load"},
        {&guest.describe, "vivarium._loader", "describe"},
        {&guest.unseeded, "vivarium._entropy", "unseeded"},
        {&guest.reseed, "vivarium._entropy", "reseed"},
        {&guest.entropy_sources, "vivarium._entropy", "sources"},
        {&guest.generator, "_random", "Random"},
        {&guest.image_flags, "vivarium._entropy", "image_flags"},
        {&guest.day_time, "vivarium", "DayTime"},
        {&guest.month_day_nano, "vivarium", "MonthDayNano"},
        {&guest.decimal, "decimal", "Decimal"},
        {&guest.zone_info, "zoneinfo", "ZoneInfo"},
        {&guest.collect, "gc", "collect"},
        {&guest.freeze, "gc", "freeze"},
        {&guest.stdout_stream, "sys", "stdout"},
        {&guest.stderr_stream, "sys", "stderr"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        *wanted[i].slot = attribute(wanted[i].module, wanted[i].name);
        if (*wanted[i].slot == NULL) {
            return false;
        }
    }
    name_flush = PyUnicode_InternFromString("flush");
    return name_flush != NULL && PyType_Check(guest.decimal) && PyType_Check(guest.day_time) &&
           PyType_Check(guest.month_day_nano);
}

static void
flush(PyObject *stream)
{
    if (stream == Py_None) {
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *result = PyObject_CallMethodNoArgs(stream, name_flush);
    if (result == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(result);
    PyErr_SetRaisedException(raised);
}

void
guest_flush(void)
{
    flush(guest.stdout_stream);
    flush(guest.stderr_stream);
}

void
guest_write_stderr(const char *line)
{
    if (guest.stderr_stream != Py_None && PyFile_WriteString(line, guest.stderr_stream) < 0) {
        PyErr_Clear();
    }
}
