/* Extension types: JSON, UUID and decimals as text, each on top of a storage type. */
#ifndef VIVARIUM_EXTENSION_H
#define VIVARIUM_EXTENSION_H

#include <stdbool.h>

#include "arrow_abi.h"
#include "reader.h"
#include "schema.h"
#include "writer.h"

/* Fetches what the conversions need. Raises and returns false on failure. */
bool extension_init(void);

/* Reads a field's metadata for an extension type that the bridge knows; any other is its storage
 * type. False with a `schema` failure if it has another storage type than it should. */
bool extension_parse(const ArrowSchema *schema, Type *type);

/* Name of an extension type in messages. */
const char *extension_name(Extension extension);

/* Put the conversion of the extension type on top of the one of its storage type, if there is
 * one. */
void extension_choose_reader(Reader *reader);
void extension_choose_writer(Writer *writer);

/* The three conversions. */
bool json_init(void);
PyObject *read_json(Reader *reader, int64_t row);
int write_json(Writer *writer, PyObject *value);
bool uuid_init(void);
PyObject *read_uuid(Reader *reader, int64_t row);
int write_uuid(Writer *writer, PyObject *value);

#endif
