/* The floating-point exceptions that NumPy raises by a call, as for the integer division by zero.
 * WebAssembly does not tell what its arithmetic meets, and the C library's versions do nothing. The
 * library has them in one object, so all of it has to be here. */
#include <fenv.h>

static int raised;

int feclearexcept(int exceptions)
{
    raised &= ~exceptions;
    return 0;
}

int feraiseexcept(int exceptions)
{
    raised |= exceptions;
    return 0;
}

int fetestexcept(int exceptions)
{
    return raised & exceptions;
}

int fegetround(void)
{
    return FE_TONEAREST;
}

int __fesetround(int mode)
{
    (void)mode;
    return 0;
}

int fegetenv(fenv_t *environment)
{
    environment->__cw = (unsigned long)raised;
    return 0;
}

int fesetenv(const fenv_t *environment)
{
    raised = environment == FE_DFL_ENV ? 0 : (int)environment->__cw;
    return 0;
}
