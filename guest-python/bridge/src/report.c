/* The last failure as JSON. */
#include <stdio.h>
#include <string.h>

#include "failure_record.h"
#include "platform.h"

/* A byte takes at most six characters (`\u0001`) in JSON. */
enum {
    MAX_JSON = 6 * (MAX_MESSAGE + MAX_CLASS + MAX_TRACEBACK + MAX_COLUMN +
                    MAX_ARGUMENTS * (MAX_ARGUMENT_NAME + MAX_ARGUMENT_TEXT + 2)) +
               256,
};

static char json[MAX_JSON];

static char *
put(char *out, const char *text)
{
    size_t length = strlen(text);
    memcpy(out, text, length);
    return out + length;
}

static char *
put_string(char *out, const char *text)
{
    static const char HEX[] = "0123456789abcdef";
    *out++ = '"';
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c == '\n') {
            *out++ = '\\';
            *out++ = 'n';
        } else if (c < 0x20 || c == 0x7f) {
            out = put(out, "\\u00");
            *out++ = HEX[c >> 4];
            *out++ = HEX[c & 15];
        } else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    return out;
}

/* Puts path and row in front of the message; both are known only when the row loop has ended. */
const char *
failure_whole_message(void)
{
    static char message[MAX_MESSAGE + 1];
    size_t used = 0;
    if (failure_last.names_path) {
        const char *path = failure_last.path[0] ? failure_last.path : "result";
        int n = snprintf(message, sizeof message, "column `%s`", path);
        used = n > 0 ? (size_t)n : 0;
        if (failure_last.row >= 0) {
            n = snprintf(message + used, sizeof message - used, ", row %lld",
                         (long long)failure_last.row);
            used += n > 0 ? (size_t)n : 0;
        }
        message[used++] = ':';
        message[used++] = ' ';
    }
    failure_copy(message + used, MAX_MESSAGE - used, failure_last.message,
                 strlen(failure_last.message));
    return message;
}

static size_t
format_json(void)
{
    char *out = put(json, "{\"kind\": ");
    out = put_string(out, failure_kind_name(failure_last.kind));
    out = put(out, ", \"message\": ");
    out = put_string(out, failure_whole_message());
    if (failure_last.has_class) {
        out = put(out, ", \"class\": ");
        out = put_string(out, failure_last.class_name);
    }
    if (failure_last.base != NULL) {
        out = put(out, ", \"base\": ");
        out = put_string(out, failure_last.base);
    }
    if (failure_last.has_traceback) {
        out = put(out, ", \"traceback\": ");
        out = put_string(out, failure_last.traceback);
    }
    if (failure_last.row >= 0) {
        char number[40];
        snprintf(number, sizeof number, ", \"row\": %lld", (long long)failure_last.row);
        out = put(out, number);
    }
    if (failure_last.has_column) {
        out = put(out, ", \"column\": ");
        out = put_string(out, failure_last.column);
    }
    if (failure_last.has_arguments) {
        out = put(out, ", \"arguments\": [");
        for (int i = 0; i < failure_arguments.count; i++) {
            out = put(out, i ? ", [" : "[");
            out = put_string(out, failure_arguments.items[i].name);
            out = put(out, ", ");
            out = put_string(out, failure_arguments.items[i].text);
            out = put(out, "]");
        }
        out = put(out, "]");
    }
    *out++ = '}';
    return (size_t)(out - json);
}

/* Writes address and length (two u32 in the guest) of the last failure as JSON. */
VIVARIUM_EXPORT(vivarium_last_error)
void
vivarium_last_error(uintptr_t *out)
{
    size_t length = format_json();
    out[0] = (uintptr_t)json;
    out[1] = length;
}
