#include "function.h"
const KindMethods vectorized_methods = {0};
