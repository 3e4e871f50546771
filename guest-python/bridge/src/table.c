#include "function.h"
const KindMethods table_methods = {0};
