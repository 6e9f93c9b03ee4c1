//! What an operator sees of the limits, and the lifting of blocks.

use std::time::Duration;

use super::Limit;
use super::rules::{Account, Rule, Unit};
use crate::store::StoreError;
use crate::store::counters::{Charge, Standing, Subject};

/// One limit and who spends most by it.
#[derive(Clone, Debug)]
pub struct LimitView {
    /// Its name.
    pub name: Box<str>,
    /// Who has an account of its own.
    pub key: String,
    /// What is counted, in words.
    pub rates: Vec<String>,
    /// Who has asked for most at this instance since its configuration was read; the heaviest first.
    pub top: Vec<Spender>,
}

/// Somebody who spends.
#[derive(Clone, Debug)]
pub struct Spender {
    /// The account, as it can be asked for again.
    pub subject: Box<str>,
    /// How much was asked for, admitted or not.
    pub asked: u64,
    /// How the account stands now, for each thing that is counted.
    pub accounts: Vec<AccountView>,
}

/// How one account stands.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// What is counted, in words.
    pub what: String,
    /// How much there is.
    pub limit: u64,
    /// How much is left.
    pub remaining: u64,
    /// When all of it is there again.
    pub reset: Duration,
    /// For how long it is blocked, or paused.
    pub blocked: Option<Duration>,
}

/// Why an operator's wish cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum UnknownLimit {
    /// There is no limit of that name.
    #[error("there is no limit of that name")]
    Name,
    /// The limit's key is something else.
    #[error("that cannot be an account of this limit; its key is {0}")]
    Subject(String),
    /// The counters cannot be asked.
    #[error("the counters cannot be asked now")]
    Store(#[from] StoreError),
}

impl Limit {
    /// All limits and the `most` heaviest spenders of each.
    ///
    /// # Errors
    /// [`StoreError`] where the counters cannot be asked.
    pub async fn overview(&self, most: usize) -> Result<Vec<LimitView>, StoreError> {
        let live = self.rules.load_full();
        let mut views = Vec::with_capacity(live.rules.rules.len());
        for (number, rule) in live.rules.rules.iter().enumerate() {
            let mut top = Vec::new();
            for spent in live.top.list(number).into_iter().take(most) {
                let accounts = self.accounts(rule, Subject(spent.subject)).await?;
                top.push(Spender { subject: spent.label, asked: spent.cost, accounts });
            }
            let rates = rule.accounts.iter().map(in_words).collect();
            views.push(LimitView { name: rule.name.clone(), key: rule.key(), rates, top });
        }
        Ok(views)
    }

    /// How one account of each limit stands that has such an account.
    ///
    /// # Errors
    /// [`StoreError`] where the counters cannot be asked.
    pub async fn account(&self, subject: &str) -> Result<Vec<LimitView>, StoreError> {
        let live = self.rules.load_full();
        let mut views = Vec::new();
        for rule in &live.rules.rules {
            let Some(named) = rule.subject_named(subject, live.ipv6_prefix) else { continue };
            let accounts = self.accounts(rule, named).await?;
            // All share the one account, whoever is asked for.
            let own = if rule.is_global() { "" } else { subject };
            let spender = Spender { subject: own.into(), asked: 0, accounts };
            let rates = rule.accounts.iter().map(in_words).collect();
            views.push(LimitView { name: rule.name.clone(), key: rule.key(), rates, top: vec![spender] });
        }
        Ok(views)
    }

    /// Lifts a block or a pause. Whether there was one.
    ///
    /// # Errors
    /// See [`UnknownLimit`].
    pub async fn lift(&self, limit: &str, subject: &str) -> Result<bool, UnknownLimit> {
        let live = self.rules.load_full();
        let rule = live.rules.rules.iter().find(|rule| *rule.name == *limit).ok_or(UnknownLimit::Name)?;
        let named = Some(subject).filter(|subject| rule.is_global() || !subject.is_empty());
        let subject = named
            .and_then(|subject| rule.subject_named(subject, live.ipv6_prefix))
            .ok_or_else(|| UnknownLimit::Subject(rule.key()))?;
        let mut lifted = false;
        let charges = charges(rule, subject);
        for charge in &charges {
            lifted |= self.counters.lift(charge).await?;
        }
        self.told.lifted(&charges);
        Ok(lifted)
    }

    async fn accounts(&self, rule: &Rule, subject: Subject) -> Result<Vec<AccountView>, StoreError> {
        let charges = charges(rule, subject);
        let standings = self.counters.look(&charges).await?.standings;
        Ok(rule.accounts.iter().zip(&standings).map(|(account, standing)| view(account, standing)).collect())
    }
}

fn charges(rule: &Rule, subject: Subject) -> Vec<Charge> {
    rule.accounts
        .iter()
        .map(|account| Charge { budget: std::sync::Arc::clone(&account.budget), subject, cost: 1 })
        .collect()
}

fn view(account: &Account, standing: &Standing) -> AccountView {
    let limit = match account.unit {
        Unit::Calls(rate) | Unit::Tokens(rate, _) => rate.count.get(),
        Unit::Running(most, _) => most.into(),
        Unit::Pause => 0,
    };
    AccountView {
        what: in_words(account),
        limit,
        remaining: standing.remaining,
        reset: standing.reset,
        blocked: standing.blocked.then_some(standing.retry_after),
    }
}

fn in_words(account: &Account) -> String {
    match account.unit {
        Unit::Calls(rate) => super::words::rate_text(rate, "call"),
        Unit::Tokens(rate, _) => super::words::rate_text(rate, "token"),
        Unit::Running(most, _) => format!("{most} at the same time"),
        Unit::Pause => "may be paused".into(),
    }
}
