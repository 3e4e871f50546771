/* Days since 1970-01-01 and the proleptic Gregorian calendar. */
#ifndef VIVARIUM_CALENDAR_H
#define VIVARIUM_CALENDAR_H

#include <stdint.h>

/* First and last day that datetime.date holds: 0001-01-01 and 9999-12-31. */
#define FIRST_DAY INT64_C(-719162)
#define LAST_DAY INT64_C(2932896)

typedef struct {
    int year, month, day;
} CivilDate;

/* Quotient rounded towards negative infinity; the remainder is then never negative. */
static inline int64_t
floor_divide(int64_t value, int64_t divisor, int64_t *remainder)
{
    int64_t quotient = value / divisor;
    *remainder = value % divisor;
    if (*remainder < 0) {
        *remainder += divisor;
        quotient--;
    }
    return quotient;
}

/* `days` within FIRST_DAY and LAST_DAY. The year starts in March here, so that the leap day is
 * the last one and the months' lengths follow one formula. */
static inline CivilDate
date_from_days(int64_t days)
{
    int32_t shifted = (int32_t)days + 719468; /* since 0000-03-01; positive for every valid day */
    int32_t era = shifted / 146097;
    int32_t day_of_era = shifted - era * 146097;
    int32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int32_t month_from_march = (5 * day_of_year + 2) / 153;
    int32_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return (CivilDate){
        .year = year_of_era + era * 400 + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
    };
}

static inline int64_t
days_from_date(int year, int month, int day)
{
    int32_t from_march = year - (month <= 2);
    int32_t era = from_march / 400; /* years are 1 or more, so this is never negative */
    int32_t year_of_era = from_march - era * 400;
    int32_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * 146097 + day_of_era - 719468;
}

#endif
