/* Objects of the interpreter that the bridge needs, held since init so that nothing a function
 * does to modules can take them away. */
#ifndef VIVARIUM_GUEST_H
#define VIVARIUM_GUEST_H

#include <Python.h>

#include <stdbool.h>

typedef struct {
    PyObject *describe_exception; /* vivarium._errors.describe_exception */
    PyObject *describe_value;     /* vivarium._errors.describe_value */
    PyObject *load;               /* vivarium._loader.load */
    PyObject *describe;           /* vivarium._loader.describe */
    PyObject *unseeded;           /* vivarium._entropy.unseeded */
    PyObject *reseed;             /* vivarium._entropy.reseed */
    PyObject *entropy_sources;    /* vivarium._entropy.sources */
    PyObject *generator;          /* _random.Random */
    PyObject *image_flags;        /* vivarium._entropy.image_flags */
    PyObject *collect;            /* gc.collect */
    PyObject *freeze;             /* gc.freeze */
    PyObject *stdout_stream;      /* sys.stdout as it was at init */
    PyObject *stderr_stream;
    PyObject *day_time;           /* vivarium.DayTime */
    PyObject *month_day_nano;     /* vivarium.MonthDayNano */
    PyObject *decimal;            /* decimal.Decimal */
    PyObject *zone_info;          /* zoneinfo.ZoneInfo */
} Guest;

extern Guest guest;

/* Fills `guest`; raises and returns false when a module is missing. */
bool guest_bind(void);

/* Flushes the interpreter's own stdout and stderr; errors are ignored. */
void guest_flush(void);

/* Writes a line to the interpreter's own stderr; errors are ignored. */
void guest_write_stderr(const char *line);

/* The built-in module `_vivarium`, which the package uses to reach the file system. */
PyObject *guest_module(void);

#endif
