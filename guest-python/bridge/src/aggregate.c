#include "function.h"
const KindMethods aggregate_methods = {0};
