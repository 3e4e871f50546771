#include "function.h"
const KindMethods map_methods = {0};
