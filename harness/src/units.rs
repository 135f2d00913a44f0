//! Quantities as people read them. Values are stored whole; only here are they rounded.

/// Bytes in a megabyte, as memory and files are reported: 10^6, never 2^20.
pub const BYTES_PER_MB: f64 = 1e6;

/// Nanoseconds to milliseconds.
pub fn ns_to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Nanoseconds to seconds.
pub fn ns_to_s(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Bytes to megabytes (10^6).
pub fn bytes_to_mb(bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_MB
}

/// A moment, given in seconds since 1970, as `2026-11-23T16:20:09Z` (RFC 3339, UTC).
pub fn rfc3339_utc(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    // The civil calendar from a day count, in years that begin on 1 March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Seconds since 1970 of a moment as [`rfc3339_utc`] writes it; `None` for any other text.
pub fn unix_s(moment: &str) -> Option<u64> {
    let (date, time) = moment.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (year, month_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let unix_s = days * 86_400 + hour * 3600 + minute * 60 + second;
    // There is no 30 February and no 25th hour.
    (rfc3339_utc(unix_s) == moment).then_some(unix_s)
}

/// Three numbers.
fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let number = |text: &str| text.parse::<u16>().ok().map(u64::from);
    text.split(between).map(number).collect::<Option<Vec<u64>>>()?.try_into().ok()
}

/// A rate, a time or a share of tokens as tables write it: about four digits, two decimals at most.
pub fn show(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        _ => 2,
    };
    fixed(value, decimals)
}

/// Milliseconds: one decimal from 10 up, none from 1000 up.
pub fn show_ms(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    fixed(value, decimals)
}

/// Bytes as whole megabytes (10^6); one decimal below 100.
pub fn show_mb(bytes: f64) -> String {
    let mb = bytes / BYTES_PER_MB;
    fixed(mb, usize::from(mb.abs() < 100.0))
}

/// A ratio: three decimals below 10, two above.
pub fn show_ratio(value: f64) -> String {
    fixed(value, if value.abs() < 10.0 { 3 } else { 2 })
}

/// A share as a signed difference from 1, in whole percent: `-34%`, `+5%`, `0%`.
pub fn show_difference(ratio: f64) -> String {
    let percent = ((ratio - 1.0) * 100.0).round() + 0.0;
    if percent > 0.0 { format!("+{percent:.0}%") } else { format!("{percent:.0}%") }
}

/// A share in whole percent.
pub fn show_percent(share: f64) -> String {
    format!("{}%", fixed(share * 100.0, 0))
}

/// `value` with `decimals` decimals and never a negative zero.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| c == '0' || c == '.') => digits.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        let check = |moment, wanted: &str| {
            assert_eq!(rfc3339_utc(moment), wanted);
            assert_eq!(unix_s(wanted), Some(moment));
        };
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_709_251_199, "2024-02-29T23:59:59Z");
        check(1_795_450_809, "2026-11-23T16:20:09Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn no_other_text_is_a_moment() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T16:20:09",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T25:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-1-1T0:0:0Z",
            "1969-12-31T23:59:59Z",
            "65535-01-01T00:00:00Z",
            "2026-01-01T99999:00:00Z",
            "2026-01-00T00:00:00Z",
        ] {
            assert_eq!(unix_s(text), None, "{text}");
        }
    }

    #[test]
    fn figures_are_rounded_as_tables_write_them() {
        assert_eq!([show(1234.5), show(123.45), show(59.666)], ["1234", "123.5", "59.67"].map(str::to_owned));
        assert_eq!([show_ms(1234.5), show_ms(51.84), show_ms(1.234)], ["1234", "51.8", "1.23"]);
        assert_eq!([show_mb(637_699_456.0), show_mb(15_260_000.0)], ["638", "15.3"]);
        assert_eq!([show_ratio(0.6714), show_ratio(12.3456)], ["0.671", "12.35"]);
        assert_eq!(show_difference(0.663), "-34%");
        assert_eq!([show_difference(1.05), show_difference(0.999)], ["+5%", "0%"]);
        assert_eq!(show_percent(0.724), "72%");
        assert_eq!(fixed(-0.001, 2), "0.00");
    }
}
