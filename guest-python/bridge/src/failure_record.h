/* What failure.c records and report.c reports. */
#ifndef VIVARIUM_FAILURE_RECORD_H
#define VIVARIUM_FAILURE_RECORD_H

#include "failure.h"

enum {
    MAX_MESSAGE = 4096,
    MAX_CLASS = 256,
    MAX_TRACEBACK = 16384,
    MAX_COLUMN = 256,
    MAX_ARGUMENTS = 32,
    MAX_ARGUMENT_NAME = 128,
    MAX_ARGUMENT_TEXT = 480, /* 120 characters of up to four bytes */
};

typedef struct {
    FailureKind kind;
    int64_t row; /* -1: none */
    bool has_class, has_traceback, has_column, names_path, has_arguments;
    const char *base; /* a class of Python that the exception is one of, or NULL */
    char path[MAX_COLUMN];
    char message[MAX_MESSAGE + 1];
    char class_name[MAX_CLASS + 1];
    char traceback[MAX_TRACEBACK + 1];
    char column[MAX_COLUMN + 1];
} FailureRecord;

/* Arguments of the row that failed; part of the report if the record says so. */
typedef struct {
    int count;
    struct {
        char name[MAX_ARGUMENT_NAME + 1];
        char text[MAX_ARGUMENT_TEXT + 1];
    } items[MAX_ARGUMENTS];
} NotedArguments;

extern FailureRecord failure_last;
extern NotedArguments failure_arguments;

const char *failure_kind_name(FailureKind kind);

/* The message with path and row in front, in static memory. */
const char *failure_whole_message(void);

/* As strncpy, but for UTF-8 and with the NUL always there: copies at most `limit` bytes. */
void failure_copy(char *to, size_t limit, const char *from, size_t length);

#endif
