//! Helpers of the declarations: actions with their parameters, priorities.

use super::error::EntryError;
use super::matching;
use super::value::{Scalar, to_bytes};
use crate::ids::{self, Field};
use crate::proto::v1::{self, action::Param};

/// The match of `field`, if it is there.
pub(super) fn find(given: &[v1::FieldMatch], field: Field) -> Option<&v1::FieldMatch> {
    given.iter().find(|one| one.field_id == field.id)
}

/// Section 9.1: above 0.
pub(super) fn ternary_priority(table: &'static str, priority: i32) -> Result<u32, EntryError> {
    match u32::try_from(priority) {
        Ok(priority) if priority > 0 => Ok(priority),
        _ => Err(EntryError::PriorityNeeded { table, priority }),
    }
}

/// A call of an action.
pub(super) fn call(action_id: u32, params: &[(Field, u64)]) -> v1::Action {
    let param = |(field, number): &(Field, u64)| Param {
        param_id: field.id,
        value: to_bytes(*number),
    };
    v1::Action {
        action_id,
        params: params.iter().map(param).collect(),
    }
}

/// Every parameter given is the action's, and none is there twice.
pub(super) fn params(action: &'static str, fields: &[Field], given: &v1::Action) -> Result<(), EntryError> {
    for (index, one) in given.params.iter().enumerate() {
        let Some(field) = fields.iter().find(|field| field.id == one.param_id) else {
            return Err(EntryError::UnknownParam {
                action,
                id: one.param_id,
            });
        };
        if given.params[..index]
            .iter()
            .any(|before| before.param_id == one.param_id)
        {
            return Err(EntryError::Repeated {
                place: action,
                field: field.name,
            });
        }
    }
    Ok(())
}

/// Reads a parameter.
pub(super) fn param<T: Scalar>(
    action: &'static str,
    field: Field,
    given: &v1::Action,
) -> Result<T, EntryError> {
    let one = given.params.iter().find(|one| one.param_id == field.id);
    let one = one.ok_or(EntryError::Missing {
        place: action,
        field: field.name,
    })?;
    matching::scalar(action, field, &one.value)
}

/// Why an action is not one that an entry of the table can have. Section 9.1.2: one that the table has only as its default is forbidden.
pub(super) fn wrong_action(table: &'static str, id: u32) -> EntryError {
    if id == ids::action::NOACTION {
        let what = "NoAction is its default action only; delete the entry instead";
        return EntryError::Forbidden { table, what };
    }
    EntryError::UnknownAction { table, id }
}
