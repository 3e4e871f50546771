//! Types of time: points, days, durations and intervals, with their units and zones.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::super::error::SqlTypeError;
use super::super::lexer::Token;
use super::super::names::TimeWidth;
use super::Parser;

impl Parser<'_> {
    /// What follows `TIMESTAMP`: `(6)`, `(Microsecond, Some("UTC"))`, `[us, tz=UTC]`, `WITH TIME ZONE`.
    pub(super) fn timestamp(&mut self) -> Result<DataType, SqlTypeError> {
        let mut unit = TimeUnit::Microsecond;
        let mut zone = None;
        if let Some(close) = self.open_optional()? {
            unit = self.unit_or_digits()?;
            if *self.lexer.token() == Token::Punctuation(',') {
                self.lexer.advance()?;
                zone = self.time_zone()?;
            }
            self.close(close)?;
        }
        if self.take_word("WITH")? {
            self.time_zone_words()?;
            zone.get_or_insert_with(|| "UTC".to_owned());
        } else if self.take_word("WITHOUT")? {
            self.time_zone_words()?;
        }
        Ok(DataType::Timestamp(unit, zone.map(Into::into)))
    }

    /// `tz=Europe/Paris`, `"UTC"`, `Some("UTC")` or `None`.
    fn time_zone(&mut self) -> Result<Option<String>, SqlTypeError> {
        if self.take_word("TZ")? {
            self.expect('=', "`=` after `tz`")?;
            let raw = self.lexer.raw_until(']')?;
            if raw.is_empty() {
                return Err(self.lexer.unexpected("a time zone"));
            }
            return Ok(Some(raw.to_owned()));
        }
        if self.take_word("NONE")? {
            return Ok(None);
        }
        let wrapped = self.take_word("SOME")?;
        if wrapped {
            self.expect('(', "`(` after `Some`")?;
        }
        let Token::Quoted(zone) = self.lexer.token().clone() else {
            return Err(self.lexer.unexpected("a time zone in quotes"));
        };
        if zone.is_empty() {
            return Err(self.lexer.unexpected("a time zone"));
        }
        self.lexer.advance()?;
        if wrapped {
            self.expect(')', "`)`")?;
        }
        Ok(Some(zone))
    }

    fn time_zone_words(&mut self) -> Result<(), SqlTypeError> {
        self.expect_word("TIME", "`TIME ZONE`")?;
        self.expect_word("ZONE", "`ZONE` after `TIME`")
    }

    pub(super) fn time_of_day(&mut self) -> Result<DataType, SqlTypeError> {
        let unit = match self.open_optional()? {
            Some(close) => {
                let unit = self.unit_or_digits()?;
                self.close(close)?;
                unit
            }
            None => TimeUnit::Microsecond,
        };
        if self.take_word("WITHOUT")? {
            self.time_zone_words()?;
        }
        Ok(match unit {
            TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
            TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(unit),
        })
    }

    /// pyarrow writes a date's unit: `date32[day]`, `date64[ms]`.
    pub(super) fn date(&mut self, data_type: DataType) -> Result<DataType, SqlTypeError> {
        if *self.lexer.token() == Token::Punctuation('[') && self.lexer.peek_next() != Token::Punctuation(']')
        {
            self.lexer.advance()?;
            let (unit, expected) = match data_type {
                DataType::Date32 => ("DAY", "`day`"),
                _ => ("MS", "`ms`"),
            };
            self.expect_word(unit, expected)?;
            self.expect(']', "`]`")?;
        }
        Ok(data_type)
    }

    pub(super) fn sized_time(&mut self, width: TimeWidth) -> Result<DataType, SqlTypeError> {
        let Some(close) = self.open_optional()? else {
            // arrow_udf says no unit and means this one.
            return Ok(match width {
                TimeWidth::Bits32 => DataType::Time32(TimeUnit::Millisecond),
                TimeWidth::Bits64 => DataType::Time64(TimeUnit::Microsecond),
            });
        };
        let unexpected = self.lexer.unexpected(match width {
            TimeWidth::Bits32 => "`s` or `ms`",
            TimeWidth::Bits64 => "`us` or `ns`",
        });
        let unit = self.unit()?;
        let data_type = match (width, unit) {
            (TimeWidth::Bits32, TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
            (TimeWidth::Bits64, TimeUnit::Microsecond | TimeUnit::Nanosecond) => DataType::Time64(unit),
            _ => return Err(unexpected),
        };
        self.close(close)?;
        Ok(data_type)
    }

    pub(super) fn duration(&mut self) -> Result<DataType, SqlTypeError> {
        let Some(close) = self.open_optional()? else {
            return Ok(DataType::Duration(TimeUnit::Microsecond));
        };
        let unit = self.unit()?;
        self.close(close)?;
        Ok(DataType::Duration(unit))
    }

    pub(super) fn interval(&mut self) -> Result<DataType, SqlTypeError> {
        let Some(close) = self.open_optional()? else {
            return Ok(DataType::Interval(IntervalUnit::MonthDayNano));
        };
        let unit = match self.lexer.token() {
            Token::Word(word) if word.eq_ignore_ascii_case("MonthDayNano") => IntervalUnit::MonthDayNano,
            Token::Word(word) if word.eq_ignore_ascii_case("DayTime") => IntervalUnit::DayTime,
            Token::Word(word) if word.eq_ignore_ascii_case("YearMonth") => IntervalUnit::YearMonth,
            _ => return Err(self.lexer.unexpected("`MonthDayNano`, `DayTime` or `YearMonth`")),
        };
        self.lexer.advance()?;
        self.close(close)?;
        Ok(DataType::Interval(unit))
    }

    /// A time unit, or the number of fractional digits that asks for one.
    fn unit_or_digits(&mut self) -> Result<TimeUnit, SqlTypeError> {
        if !matches!(self.lexer.token(), Token::Number(_)) {
            return self.unit();
        }
        let digits = self.number("the number of fractional digits", 0, 9)?;
        Ok(if digits <= 6 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond })
    }

    fn unit(&mut self) -> Result<TimeUnit, SqlTypeError> {
        const EXPECTED: &str = "a time unit: `s`, `ms`, `us` or `ns`";
        let Token::Word(word) = *self.lexer.token() else {
            return Err(self.lexer.unexpected(EXPECTED));
        };
        let unit = match word.to_lowercase().as_str() {
            "s" | "second" => TimeUnit::Second,
            "ms" | "millisecond" => TimeUnit::Millisecond,
            // The micro sign and the Greek letter.
            "us" | "\u{b5}s" | "\u{3bc}s" | "microsecond" => TimeUnit::Microsecond,
            "ns" | "nanosecond" => TimeUnit::Nanosecond,
            _ => return Err(self.lexer.unexpected(EXPECTED)),
        };
        self.lexer.advance()?;
        Ok(unit)
    }
}
