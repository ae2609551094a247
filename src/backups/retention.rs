//! Backup retention: keeps the last few backups, and the last backup of each of the last few days, weeks and months.

use std::collections::HashSet;
use std::hash::Hash;

use super::{Backup, Repository};
use crate::values::Timestamp;

/// Numbers of backups to keep. Only days, weeks and months with a backup count. Days are in UTC, weeks by ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Keep {
    /// Keep the last N backups. Backups that no --keep option covers are deleted
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,
    /// Keep the last backup of each of the last N days that have one
    #[arg(long, value_name = "N")]
    keep_daily: Option<usize>,
    /// Keep the last backup of each of the last N weeks that have one
    #[arg(long, value_name = "N")]
    keep_weekly: Option<usize>,
    /// Keep the last backup of each of the last N months that have one
    #[arg(long, value_name = "N")]
    keep_monthly: Option<usize>,
}

impl Keep {
    /// Whether no option is set. Then no backup is deleted.
    pub(super) fn is_empty(&self) -> bool {
        [self.keep_last, self.keep_daily, self.keep_weekly, self.keep_monthly].iter().all(Option::is_none)
    }

    /// Selects the backups that are not kept, from those of one subject, oldest first. Incomplete ones are not counted.
    pub(super) fn select_deleted<B>(
        &self,
        oldest_first: Vec<B>,
        taken_at: impl Fn(&B) -> Timestamp,
        is_complete: impl Fn(&B) -> bool,
    ) -> Vec<B> {
        let (complete, mut going): (Vec<_>, Vec<_>) = oldest_first.into_iter().rev().partition(is_complete);
        let moments: Vec<Timestamp> = complete.iter().map(taken_at).collect();
        let kept = self.select_kept(&moments);
        going.extend(complete.into_iter().zip(kept).filter(|(_, kept)| !kept).map(|(backup, _)| backup));
        going
    }

    /// Chooses which of these moments to keep. They are in order, newest first. The newest is always kept.
    fn select_kept(&self, moments: &[Timestamp]) -> Vec<bool> {
        let mut kept: Vec<bool> = (0..moments.len()).map(|n| n < self.keep_last.unwrap_or(0).max(1)).collect();
        let mut keep_first_of_each = |most: Option<usize>, indices: Vec<usize>| {
            indices.into_iter().take(most.unwrap_or(0)).for_each(|n| kept[n] = true);
        };
        keep_first_of_each(self.keep_daily, first_of_each(moments, |moment| moment.date()));
        keep_first_of_each(
            self.keep_weekly,
            first_of_each(moments, |moment| {
                let week = moment.date().iso_week_date();
                (week.year(), week.week())
            }),
        );
        keep_first_of_each(
            self.keep_monthly,
            first_of_each(moments, |moment| (moment.date().year(), moment.date().month())),
        );
        kept
    }
}

/// The index of the first moment of each period.
fn first_of_each<P: Hash + Eq>(moments: &[Timestamp], period: impl Fn(Timestamp) -> P) -> Vec<usize> {
    let mut seen = HashSet::new();
    (0..moments.len()).filter(|&n| seen.insert(period(moments[n]))).collect()
}

impl Repository {
    /// Deletes the backups that the options do not keep, and returns their names. This considers only backups of this
    /// instance with the same scope as the new backup `made`.
    ///
    /// Incomplete backups are deleted without being counted. An incomplete new backup deletes nothing. So the last
    /// backup of a workspace that became unreadable stays.
    pub fn prune(&self, keep: &Keep, made: &Backup) -> anyhow::Result<Vec<String>> {
        if keep.is_empty() || !made.manifest.failures.is_empty() {
            return Ok(Vec::new());
        }
        let _claim = self.lock()?;
        let mut alike = self.list()?.own;
        let subject = |backup: &Backup| backup.single_workspace().map(|workspace| workspace.id);
        alike.retain(|backup| subject(backup) == subject(made) && backup.manifest.taken_at <= made.manifest.taken_at);
        let going =
            keep.select_deleted(alike, |backup| backup.manifest.taken_at, |backup| backup.manifest.failures.is_empty());
        let names = going.iter().map(|backup| backup.name.clone()).collect();
        going.into_iter().try_for_each(Backup::delete)?;
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: Keep = Keep { keep_last: None, keep_daily: None, keep_weekly: None, keep_monthly: None };

    /// The moments that are kept, as text.
    fn kept<'a>(keep: Keep, newest_first: &[&'a str]) -> Vec<&'a str> {
        let moments: Vec<Timestamp> = newest_first.iter().map(|text| text.parse().unwrap()).collect();
        let kept = keep.select_kept(&moments);
        newest_first.iter().zip(kept).filter(|(_, kept)| *kept).map(|(text, _)| *text).collect()
    }

    #[test]
    fn the_last_of_each_day_week_and_month_that_has_one() {
        let newest_first = [
            "2027-01-04T18:00:00Z", // a Monday
            "2027-01-04T02:00:00Z",
            "2027-01-03T02:00:00Z", // the Sunday of the last week of 2026
            "2027-01-01T02:00:00Z",
            "2026-12-31T23:59:59Z",
            "2026-12-28T02:00:00Z", // its Monday
            "2026-12-27T02:00:00Z",
            "2026-10-01T02:00:00Z",
        ];
        let of = |indices: &[usize]| indices.iter().map(|&n| newest_first[n]).collect::<Vec<_>>();
        assert_eq!(kept(Keep { keep_last: Some(2), ..NOTHING }, &newest_first), of(&[0, 1]));
        assert_eq!(kept(Keep { keep_daily: Some(3), ..NOTHING }, &newest_first), of(&[0, 2, 3]));
        assert_eq!(kept(Keep { keep_weekly: Some(3), ..NOTHING }, &newest_first), of(&[0, 2, 6]));
        assert_eq!(kept(Keep { keep_monthly: Some(3), ..NOTHING }, &newest_first), of(&[0, 4, 7]));
        let all = Keep { keep_last: Some(1), keep_daily: Some(2), keep_weekly: Some(2), keep_monthly: Some(9) };
        assert_eq!(kept(all, &newest_first), of(&[0, 2, 4, 7]));
    }

    proptest! {
        #[test]
        fn the_newest_is_kept_and_never_more_than_were_asked_for(
            mut seconds in prop::collection::vec(0..100_000_000i64, 1..60),
            most in prop::array::uniform4(prop::option::of(0..10usize)),
        ) {
            seconds.sort_unstable_by(|a, b| b.cmp(a));
            let moments: Vec<Timestamp> = seconds.into_iter().map(Timestamp::from_seconds).collect();
            let [keep_last, keep_daily, keep_weekly, keep_monthly] = most;
            let kept = Keep { keep_last, keep_daily, keep_weekly, keep_monthly }.select_kept(&moments);
            prop_assert!(kept[0]);
            let count = kept.iter().filter(|kept| **kept).count();
            prop_assert!(count <= most.iter().flatten().sum::<usize>().max(1) + 1);
            prop_assert!(count >= keep_last.unwrap_or(0).min(moments.len()));
        }
    }
}
