/* The extension type arrow.uuid: uuid.UUID. */
#include <Python.h>

#include <string.h>

#include "extension.h"
#include "failure.h"

enum { UUID_BYTES = 16 };

static PyTypeObject *uuid_type;
static PyObject *slot_int, *slot_is_safe; /* descriptors of the attributes */
static PyObject *unknown;                 /* uuid.SafeUUID.unknown */

static bool
set_slot(PyObject *slot, PyObject *object, PyObject *value)
{
    return Py_TYPE(slot)->tp_descr_set(slot, object, value) == 0;
}

/* As uuid.UUID(bytes=...), without the detour through its `__init__`. */
PyObject *
read_uuid(Reader *reader, int64_t row)
{
    const uint8_t *bytes = (const uint8_t *)reader->values + row * UUID_BYTES;
    PyObject *number =
        PyLong_FromUnsignedNativeBytes(bytes, UUID_BYTES, Py_ASNATIVEBYTES_BIG_ENDIAN);
    PyObject *value = number ? uuid_type->tp_alloc(uuid_type, 0) : NULL;
    if (value != NULL &&
        (!set_slot(slot_int, value, number) || !set_slot(slot_is_safe, value, unknown))) {
        Py_CLEAR(value);
    }
    Py_XDECREF(number);
    return value;
}

static int
append(Writer *writer, const void *bytes)
{
    void *slot = writer_slot(writer, UUID_BYTES);
    if (slot == NULL) {
        return -1;
    }
    memcpy(slot, bytes, UUID_BYTES);
    return 0;
}

static int
append_uuid(Writer *writer, PyObject *value)
{
    PyObject *number = Py_TYPE(slot_int)->tp_descr_get(slot_int, value, (PyObject *)Py_TYPE(value));
    if (number == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return writer_reject(writer, value, "it is not initialised");
    }
    uint8_t bytes[UUID_BYTES];
    Py_ssize_t needed = -1;
    if (PyLong_Check(number)) {
        const int flags = Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER |
                          Py_ASNATIVEBYTES_REJECT_NEGATIVE;
        needed = PyLong_AsNativeBytes(number, bytes, UUID_BYTES, flags);
    }
    Py_DECREF(number);
    if (needed < 0 || needed > UUID_BYTES) {
        PyErr_Clear();
        return writer_reject(writer, value, "its number is out of range");
    }
    return append(writer, bytes);
}

static int
append_text(Writer *writer, PyObject *value)
{
    PyObject *parsed = PyObject_CallOneArg((PyObject *)uuid_type, value);
    if (parsed == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return -1;
        }
        PyErr_Clear();
        return writer_reject(writer, value, "it is not a UUID");
    }
    int status = append_uuid(writer, parsed);
    Py_DECREF(parsed);
    return status;
}

int
write_uuid(Writer *writer, PyObject *value)
{
    if (PyObject_TypeCheck(value, uuid_type)) {
        return append_uuid(writer, value);
    }
    if (PyUnicode_Check(value)) {
        return append_text(writer, value);
    }
    if (PyBytes_Check(value)) {
        return PyBytes_GET_SIZE(value) == UUID_BYTES
                   ? append(writer, PyBytes_AS_STRING(value))
                   : writer_reject(writer, value, "it does not have 16 bytes");
    }
    return writer_reject(writer, value, NULL);
}

bool
uuid_init(void)
{
    PyObject *module = PyImport_ImportModule("uuid");
    PyObject *safe = NULL;
    if (module != NULL) {
        uuid_type = (PyTypeObject *)PyObject_GetAttrString(module, "UUID");
        safe = PyObject_GetAttrString(module, "SafeUUID");
    }
    if (uuid_type != NULL && safe != NULL) {
        slot_int = PyObject_GetAttrString((PyObject *)uuid_type, "int");
        slot_is_safe = PyObject_GetAttrString((PyObject *)uuid_type, "is_safe");
        unknown = PyObject_GetAttrString(safe, "unknown");
    }
    Py_XDECREF(module);
    Py_XDECREF(safe);
    return slot_int != NULL && slot_is_safe != NULL && unknown != NULL &&
           Py_TYPE(slot_int)->tp_descr_set != NULL && Py_TYPE(slot_is_safe)->tp_descr_set != NULL;
}
