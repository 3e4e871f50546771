/* Python dates, times, datetimes, timedeltas and intervals to Arrow. */
#include <Python.h>

#include <datetime.h>

#include <string.h>

#include "calendar.h"
#include "temporal.h"
#include "writer.h"

static const int64_t PER_SECOND[] = {1, 1000, 1000000, 1000000000};

static PyObject *name_utcoffset;

static int
append_int64(Writer *writer, int64_t value)
{
    int64_t *slot = writer_slot(writer, sizeof(int64_t));
    if (slot == NULL) {
        return -1;
    }
    *slot = value;
    return 0;
}

static int
append_int32(Writer *writer, int32_t value)
{
    int32_t *slot = writer_slot(writer, sizeof(int32_t));
    if (slot == NULL) {
        return -1;
    }
    *slot = value;
    return 0;
}

static int
write_date(Writer *writer, PyObject *value)
{
    if (!PyDate_Check(value)) { /* a datetime is a date, too */
        return writer_reject(writer, value, NULL);
    }
    int64_t days = days_from_date(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value),
                                  PyDateTime_GET_DAY(value));
    return writer->type->kind == TYPE_DATE32 ? append_int32(writer, (int32_t)days)
                                             : append_int64(writer, days * 86400000);
}

/* Seconds and microseconds in the unit of the type; 0, or -1 with a failure recorded. */
static int
scale(Writer *writer, PyObject *value, int64_t seconds, int64_t micros, int64_t *out)
{
    int64_t per_second = PER_SECOND[writer->type->unit], fraction;
    if (per_second <= 1000000) {
        int64_t step = 1000000 / per_second;
        if (micros % step != 0) {
            return writer_reject(writer, value, "finer than the type's unit");
        }
        fraction = micros / step;
    } else {
        fraction = micros * 1000;
    }
    /* Kept on one side of zero, or the product could overflow although the sum does not. */
    if (seconds < 0 && fraction > 0) {
        seconds++;
        fraction -= per_second;
    }
    if (__builtin_mul_overflow(seconds, per_second, out) ||
        __builtin_add_overflow(*out, fraction, out)) {
        return writer_reject(writer, value, "out of range");
    }
    return 0;
}

static int
write_time(Writer *writer, PyObject *value)
{
    if (!PyTime_Check(value)) {
        return writer_reject(writer, value, NULL);
    }
    if (PyDateTime_TIME_GET_TZINFO(value) != Py_None) {
        return writer_reject(writer, value, "a time of day has no zone here");
    }
    int64_t seconds = PyDateTime_TIME_GET_HOUR(value) * 3600 +
                      PyDateTime_TIME_GET_MINUTE(value) * 60 + PyDateTime_TIME_GET_SECOND(value);
    int64_t scaled = 0;
    if (scale(writer, value, seconds, PyDateTime_TIME_GET_MICROSECOND(value), &scaled) < 0) {
        return -1;
    }
    return writer->type->kind == TYPE_TIME32 ? append_int32(writer, (int32_t)scaled)
                                             : append_int64(writer, scaled);
}

/* Subtracts the UTC offset of an aware datetime. */
static int
to_utc(Writer *writer, PyObject *value, int64_t *seconds, int64_t *micros)
{
    PyObject *offset = PyObject_CallMethodNoArgs(value, name_utcoffset);
    if (offset == NULL) {
        return -1;
    }
    int status = 0;
    if (PyDelta_Check(offset)) {
        *seconds -= (int64_t)PyDateTime_DELTA_GET_DAYS(offset) * 86400 +
                    PyDateTime_DELTA_GET_SECONDS(offset);
        *micros -= PyDateTime_DELTA_GET_MICROSECONDS(offset);
        if (*micros < 0) {
            *micros += 1000000;
            *seconds -= 1;
        }
    } else if (offset != Py_None) {
        status = writer_reject(writer, value, "its utcoffset() is not a timedelta");
    }
    Py_DECREF(offset);
    return status;
}

static int
write_timestamp(Writer *writer, PyObject *value)
{
    if (!PyDateTime_Check(value)) {
        return writer_reject(writer, value, NULL);
    }
    int64_t days = days_from_date(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value),
                                  PyDateTime_GET_DAY(value));
    int64_t seconds = days * 86400 + PyDateTime_DATE_GET_HOUR(value) * 3600 +
                      PyDateTime_DATE_GET_MINUTE(value) * 60 + PyDateTime_DATE_GET_SECOND(value);
    int64_t micros = PyDateTime_DATE_GET_MICROSECOND(value);
    PyObject *zone = PyDateTime_DATE_GET_TZINFO(value);
    if (zone != Py_None && zone != PyDateTime_TimeZone_UTC &&
        to_utc(writer, value, &seconds, &micros) < 0) {
        return -1;
    }
    int64_t scaled = 0;
    if (scale(writer, value, seconds, micros, &scaled) < 0) {
        return -1;
    }
    return append_int64(writer, scaled);
}

static int
write_duration(Writer *writer, PyObject *value)
{
    if (!PyDelta_Check(value)) {
        return writer_reject(writer, value, NULL);
    }
    int64_t seconds = (int64_t)PyDateTime_DELTA_GET_DAYS(value) * 86400 +
                      PyDateTime_DELTA_GET_SECONDS(value);
    int64_t scaled = 0;
    if (scale(writer, value, seconds, PyDateTime_DELTA_GET_MICROSECONDS(value), &scaled) < 0) {
        return -1;
    }
    return append_int64(writer, scaled);
}

/* Reads the integers of an interval. The last one may have 64 bits. */
static int
take_fields(Writer *writer, PyObject *value, int64_t *fields, Py_ssize_t count, bool last_is_wide)
{
    if (!PyTuple_Check(value) || PyTuple_GET_SIZE(value) != count) {
        return writer_reject(writer, value, count == 2 ? "expected (days, milliseconds)"
                                                       : "expected (months, days, nanoseconds)");
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (writer_take_int64(writer, PyTuple_GET_ITEM(value, i), &fields[i]) < 0) {
            return -1;
        }
        bool wide = last_is_wide && i == count - 1;
        if (!wide && (fields[i] < INT32_MIN || fields[i] > INT32_MAX)) {
            return writer_reject(writer, value, "out of range");
        }
    }
    return 0;
}

static int
write_day_time(Writer *writer, PyObject *value)
{
    int64_t fields[2];
    if (take_fields(writer, value, fields, 2, false) < 0) {
        return -1;
    }
    int32_t *slot = writer_slot(writer, 8);
    if (slot == NULL) {
        return -1;
    }
    slot[0] = (int32_t)fields[0];
    slot[1] = (int32_t)fields[1];
    return 0;
}

static int
write_month_day_nano(Writer *writer, PyObject *value)
{
    int64_t fields[3];
    if (take_fields(writer, value, fields, 3, true) < 0) {
        return -1;
    }
    uint8_t *slot = writer_slot(writer, 16);
    if (slot == NULL) {
        return -1;
    }
    int32_t narrow[2] = {(int32_t)fields[0], (int32_t)fields[1]};
    memcpy(slot, narrow, 8);
    memcpy(slot + 8, &fields[2], 8);
    return 0;
}

bool
writer_choose_temporal(Writer *writer)
{
    writer->layout = LAYOUT_FIXED;
    switch (writer->type->kind) {
    case TYPE_DATE32:
    case TYPE_DATE64:
        writer->write = write_date;
        return true;
    case TYPE_TIME32:
    case TYPE_TIME64:
        writer->write = write_time;
        return true;
    case TYPE_TIMESTAMP:
        writer->write = write_timestamp;
        return true;
    case TYPE_DURATION:
        writer->write = write_duration;
        return true;
    case TYPE_INTERVAL_DAY_TIME:
        writer->write = write_day_time;
        return true;
    case TYPE_INTERVAL_MONTH_DAY_NANO:
        writer->write = write_month_day_nano;
        return true;
    default:
        return false;
    }
}

bool
temporal_write_init(void)
{
    PyDateTime_IMPORT;
    name_utcoffset = PyUnicode_InternFromString("utcoffset");
    return PyDateTimeAPI != NULL && name_utcoffset != NULL;
}
