/* Arrow dates, times, timestamps, durations and intervals to Python objects. */
#include <Python.h>

#include <datetime.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "calendar.h"
#include "guest.h"
#include "reader.h"
#include "temporal.h"

static const int64_t PER_SECOND[] = {1, 1000, 1000000, 1000000000};
static const int64_t SECONDS_PER_DAY = 86400;
static const int64_t MICROS_PER_DAY = INT64_C(86400000000);

static PyObject *name_fromutc;

static PyObject *
reject_nanoseconds(Reader *reader, int64_t value)
{
    return reader_reject(reader, "%" PRId64 " has a nanosecond part, which Python cannot hold",
                         value);
}

static PyObject *
reject_range(Reader *reader, int64_t value)
{
    return reader_reject(reader, "%" PRId64 " is outside what Python can hold", value);
}

/* The packed fields of dates and datetimes, as the macros of datetime.h read them. */
static void
set_date(unsigned char *data, CivilDate date)
{
    data[0] = (unsigned char)(date.year >> 8);
    data[1] = (unsigned char)date.year;
    data[2] = (unsigned char)date.month;
    data[3] = (unsigned char)date.day;
}

static void
set_time(unsigned char *data, int32_t seconds, int32_t micros)
{
    data[0] = (unsigned char)(seconds / 3600);
    data[1] = (unsigned char)(seconds / 60 % 60);
    data[2] = (unsigned char)(seconds % 60);
    data[3] = (unsigned char)(micros >> 16);
    data[4] = (unsigned char)(micros >> 8);
    data[5] = (unsigned char)micros;
}

/* Makes a new object the one to be used again. */
static PyObject *
keep(Reader *reader, PyObject *object)
{
    return reader->reuses ? spare_replace(&reader->spare, object, 0) : object;
}

static PyObject *
date_object(Reader *reader, int64_t days, int64_t value)
{
    if (days < FIRST_DAY || days > LAST_DAY) {
        return reject_range(reader, value);
    }
    CivilDate date = date_from_days(days);
    if (reader->reuses && spare_is_free(&reader->spare)) {
        PyDateTime_Date *object = (PyDateTime_Date *)Py_NewRef(reader->spare.object);
        object->hashcode = -1;
        set_date(object->data, date);
        return (PyObject *)object;
    }
    return keep(reader, PyDate_FromDate(date.year, date.month, date.day));
}

static PyObject *
read_date32(Reader *reader, int64_t row)
{
    int32_t days = ((const int32_t *)reader->values)[row];
    return date_object(reader, days, days);
}

static PyObject *
read_date64(Reader *reader, int64_t row)
{
    int64_t value = ((const int64_t *)reader->values)[row], rest;
    int64_t days = floor_divide(value, SECONDS_PER_DAY * 1000, &rest);
    if (rest != 0) {
        return reader_reject(reader, "%" PRId64 " is not a whole day", value);
    }
    return date_object(reader, days, value);
}

static PyObject *
time_object(Reader *reader, int64_t value)
{
    int64_t per_second = PER_SECOND[reader->type->unit], micros;
    if (value < 0 || value >= SECONDS_PER_DAY * per_second) {
        return reject_range(reader, value);
    }
    int64_t seconds = floor_divide(value, per_second, &micros);
    if (reader->type->unit == UNIT_NANOSECOND) {
        if (micros % 1000 != 0) {
            return reject_nanoseconds(reader, value);
        }
        micros /= 1000;
    } else {
        micros *= 1000000 / per_second;
    }
    if (reader->reuses && spare_is_free(&reader->spare)) {
        PyDateTime_Time *object = (PyDateTime_Time *)Py_NewRef(reader->spare.object);
        object->hashcode = -1;
        set_time(object->data, (int32_t)seconds, (int32_t)micros);
        return (PyObject *)object;
    }
    return keep(reader, PyTime_FromTime((int)(seconds / 3600), (int)(seconds / 60 % 60),
                                        (int)(seconds % 60), (int)micros));
}

static PyObject *
read_time32(Reader *reader, int64_t row)
{
    return time_object(reader, ((const int32_t *)reader->values)[row]);
}

static PyObject *
read_time64(Reader *reader, int64_t row)
{
    return time_object(reader, ((const int64_t *)reader->values)[row]);
}

/* Splits a timestamp or duration into days and microseconds of the day; false (with a failure) if
 * the unit is finer than Python's. */
static bool
split_timestamp(Reader *reader, int64_t value, int64_t *days, int64_t *micros)
{
    int64_t per_second = PER_SECOND[reader->type->unit];
    *days = floor_divide(value, SECONDS_PER_DAY * per_second, micros);
    if (reader->type->unit == UNIT_NANOSECOND) {
        if (*micros % 1000 != 0) {
            reject_nanoseconds(reader, value);
            return false;
        }
        *micros /= 1000;
    } else {
        *micros *= 1000000 / per_second;
    }
    return true;
}

/* `zone` is the same for all values of a reader. */
static PyObject *
datetime_object(Reader *reader, int64_t value, int64_t days, int64_t micros, PyObject *zone,
                bool reuse)
{
    if (days < FIRST_DAY || days > LAST_DAY) {
        return reject_range(reader, value);
    }
    CivilDate date = date_from_days(days);
    int32_t seconds = (int32_t)(micros / 1000000), fraction = (int32_t)(micros % 1000000);
    if (reuse && spare_is_free(&reader->spare)) {
        PyDateTime_DateTime *object = (PyDateTime_DateTime *)Py_NewRef(reader->spare.object);
        object->hashcode = -1;
        set_date(object->data, date);
        set_time(object->data + 4, seconds, fraction);
        return (PyObject *)object;
    }
    PyObject *object = PyDateTimeAPI->DateTime_FromDateAndTime(
        date.year, date.month, date.day, seconds / 3600, seconds / 60 % 60, seconds % 60, fraction,
        zone, PyDateTimeAPI->DateTimeType);
    return reuse ? keep(reader, object) : object;
}

static PyObject *
read_timestamp(Reader *reader, int64_t row)
{
    int64_t value = ((const int64_t *)reader->values)[row], days, micros;
    if (!split_timestamp(reader, value, &days, &micros)) {
        return NULL;
    }
    return datetime_object(reader, value, days, micros, Py_None, reader->reuses);
}

static PyObject *
read_timestamp_fixed(Reader *reader, int64_t row)
{
    int64_t value = ((const int64_t *)reader->values)[row], days, micros;
    if (!split_timestamp(reader, value, &days, &micros)) {
        return NULL;
    }
    days += floor_divide(micros + reader->offset_us, MICROS_PER_DAY, &micros);
    return datetime_object(reader, value, days, micros, reader->zone, reader->reuses);
}

static PyObject *
read_timestamp_zone(Reader *reader, int64_t row)
{
    int64_t value = ((const int64_t *)reader->values)[row], days, micros;
    if (!split_timestamp(reader, value, &days, &micros)) {
        return NULL;
    }
    PyObject *utc = datetime_object(reader, value, days, micros, reader->zone, false);
    if (utc == NULL) {
        return NULL;
    }
    PyObject *local = PyObject_CallMethodOneArg(reader->zone, name_fromutc, utc);
    Py_DECREF(utc);
    if (local == NULL && PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        return reject_range(reader, value);
    }
    return local;
}

static PyObject *
read_duration(Reader *reader, int64_t row)
{
    int64_t value = ((const int64_t *)reader->values)[row], days, micros;
    if (!split_timestamp(reader, value, &days, &micros)) {
        return NULL;
    }
    if (days < -999999999 || days > 999999999) {
        return reject_range(reader, value);
    }
    if (reader->reuses && spare_is_free(&reader->spare)) {
        PyDateTime_Delta *object = (PyDateTime_Delta *)Py_NewRef(reader->spare.object);
        object->hashcode = -1;
        object->days = (int)days;
        object->seconds = (int)(micros / 1000000);
        object->microseconds = (int)(micros % 1000000);
        return (PyObject *)object;
    }
    return keep(reader,
                PyDelta_FromDSU((int)days, (int)(micros / 1000000), (int)(micros % 1000000)));
}

/* An instance of one of the package's namedtuples. Consumes the fields. */
static PyObject *
tuple_object(PyObject *type, PyObject *const *fields, Py_ssize_t count)
{
    PyObject *result = NULL;
    PyObject *plain = PyTuple_New(count);
    bool complete = plain != NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        complete = complete && fields[i] != NULL;
        if (plain != NULL) {
            PyTuple_SET_ITEM(plain, i, fields[i]);
        } else {
            Py_XDECREF(fields[i]);
        }
    }
    PyObject *arguments = complete ? PyTuple_Pack(1, plain) : NULL;
    if (arguments != NULL) {
        result = PyTuple_Type.tp_new((PyTypeObject *)type, arguments, NULL);
        Py_DECREF(arguments);
    }
    Py_XDECREF(plain);
    return result;
}

static PyObject *
read_day_time(Reader *reader, int64_t row)
{
    const int32_t *value = (const int32_t *)reader->values + 2 * row;
    PyObject *fields[] = {PyLong_FromLong(value[0]), PyLong_FromLong(value[1])};
    return tuple_object(guest.day_time, fields, 2);
}

static PyObject *
read_month_day_nano(Reader *reader, int64_t row)
{
    const char *value = (const char *)reader->values + 16 * row;
    int32_t months, days;
    int64_t nanoseconds;
    memcpy(&months, value, 4);
    memcpy(&days, value + 4, 4);
    memcpy(&nanoseconds, value + 8, 8);
    PyObject *fields[] = {PyLong_FromLong(months), PyLong_FromLong(days),
                          PyLong_FromLongLong(nanoseconds)};
    return tuple_object(guest.month_day_nano, fields, 3);
}

/* Parses `+HH:MM`, `+HHMM` or `+HH` (or with `-`) into seconds. */
static bool
parse_offset(const char *text, int32_t *seconds)
{
    int hours, minutes = 0, used = 0;
    size_t length = strlen(text);
    if (text[0] != '+' && text[0] != '-') {
        return false;
    }
    bool valid = length == 6   ? sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) == 2
                 : length == 5 ? sscanf(text + 1, "%2d%2d%n", &hours, &minutes, &used) == 2
                 : length == 3 ? sscanf(text + 1, "%2d%n", &hours, &used) == 1
                               : false;
    if (!valid || (size_t)used + 1 != length || hours < 0 || hours > 23 || minutes < 0 ||
        minutes > 59) {
        return false;
    }
    *seconds = (hours * 3600 + minutes * 60) * (text[0] == '-' ? -1 : 1);
    return true;
}

static bool
choose_zone(Reader *reader)
{
    const char *name = reader->type->timezone;
    int32_t offset = 0;
    reader->read = read_timestamp_fixed;
    if (strcmp(name, "UTC") == 0 || strcmp(name, "Z") == 0) {
        reader->zone = Py_NewRef(PyDateTime_TimeZone_UTC);
    } else if (parse_offset(name, &offset)) {
        PyObject *delta = PyDelta_FromDSU(0, offset, 0);
        reader->zone = delta ? PyTimeZone_FromOffset(delta) : NULL;
        Py_XDECREF(delta);
    } else {
        reader->read = read_timestamp_zone;
        PyObject *key = PyUnicode_FromString(name);
        reader->zone = key ? PyObject_CallOneArg(guest.zone_info, key) : NULL;
        Py_XDECREF(key);
        if (reader->zone == NULL && PyErr_ExceptionMatches(PyExc_Exception) &&
            !PyErr_ExceptionMatches(PyExc_MemoryError)) {
            PyErr_Clear();
            failure_set(FAILURE_SCHEMA, path_root(&reader->path), "unknown time zone `%.100s`",
                        name);
        }
    }
    reader->offset_us = (int64_t)offset * 1000000;
    return reader->zone != NULL;
}

bool
reader_choose_temporal(Reader *reader)
{
    switch (reader->type->kind) {
    case TYPE_DATE32:
        reader->read = read_date32;
        return true;
    case TYPE_DATE64:
        reader->read = read_date64;
        return true;
    case TYPE_TIME32:
        reader->read = read_time32;
        return true;
    case TYPE_TIME64:
        reader->read = read_time64;
        return true;
    case TYPE_DURATION:
        reader->read = read_duration;
        return true;
    case TYPE_INTERVAL_DAY_TIME:
        reader->read = read_day_time;
        return true;
    case TYPE_INTERVAL_MONTH_DAY_NANO:
        reader->read = read_month_day_nano;
        return true;
    case TYPE_TIMESTAMP:
        reader->read = read_timestamp;
        return reader->type->timezone == NULL || choose_zone(reader);
    default:
        return false;
    }
}

bool
temporal_read_init(void)
{
    PyDateTime_IMPORT;
    name_fromutc = PyUnicode_InternFromString("fromutc");
    return PyDateTimeAPI != NULL && name_fromutc != NULL;
}
