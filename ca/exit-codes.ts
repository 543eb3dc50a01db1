/** Exit codes of sysexits.h. */
export const EXIT_DATA = 65;
export const EXIT_CANNOT_CREATE = 73;
/** There is no such certificate. */
export const EXIT_NOT_FOUND = 1;
