//! From a declaration of a key or an action to its type and its codec.
//!
//! `key!` and `action!` take the P4 name and the Rust fields; ids, names and widths come from the P4Info, through [`crate::ids`].
//! A field that the P4 program does not have, or a table without one that it has, does not compile or fails
//! the test that compares every table with the P4Info.

/// A table's key.
macro_rules! key {
    (
        $(#[$outer:meta])*
        $table:ident $Key:ident {
            $( [ $(#[$pmeta:meta])* $priority:ident ] )?
            $( $(#[$meta:meta])* $field:ident: $kind:ty = $ID:ident, )*
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $Key {
            $( $(#[$pmeta])* pub $priority: u32, )?
            $( $(#[$meta])* pub $field: $kind, )*
        }

        impl $Key {
            const FIELDS: &'static [ids::Field] = &[ $( ids::field::$table::$ID, )* ];

            fn encode(&self) -> (Vec<v1::FieldMatch>, i32) {
                let matches: [Option<v1::FieldMatch>; Self::FIELDS.len()] = [ $( self.$field.encode(ids::field::$table::$ID), )* ];
                let priority = 0 $( + i32::try_from(self.$priority).unwrap_or(i32::MAX) )?;
                (matches.into_iter().flatten().collect(), priority)
            }

            fn decode(given: &[v1::FieldMatch], priority: i32) -> Result<Self, EntryError> {
                const TABLE: &str = stringify!($table);
                matching::check(TABLE, Self::FIELDS, given)?;
                $( let $priority = ternary_priority(TABLE, priority)?; )?
                no_priority!($( $priority )?, TABLE, priority);
                $( let $field = MatchField::decode(TABLE, ids::field::$table::$ID, find(given, ids::field::$table::$ID))?; )*
                Ok(Self { $( $priority, )? $( $field, )* })
            }
        }
    };
}

/// Refuses a priority on a table that has none.
macro_rules! no_priority {
    ($priority:ident, $table:expr, $given:expr) => {};
    (, $table:expr, $given:expr) => {
        if $given != 0 {
            return Err(EntryError::PriorityRefused {
                table: $table,
                priority: $given,
            });
        }
    };
}

/// A table's action, or the choice among its actions.
macro_rules! action {
    // One action: a struct.
    (
        $(#[$outer:meta])*
        $table:ident: $action:ident $ACTION:ident $Action:ident { $( $(#[$meta:meta])* $param:ident: $kind:ty = $ID:ident, )* }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $Action { $( $(#[$meta])* pub $param: $kind, )* }

        impl $Action {
            fn encode(&self) -> v1::Action {
                call(ids::action::$ACTION, &[ $( (ids::param::$action::$ID, self.$param.to_number()), )* ])
            }

            fn decode(given: &v1::Action) -> Result<Self, EntryError> {
                if given.action_id != ids::action::$ACTION {
                    return Err(wrong_action(stringify!($table), given.action_id));
                }
                const ACTION: &str = stringify!($action);
                params(ACTION, &[ $( ids::param::$action::$ID, )* ], given)?;
                Ok(Self { $( $param: param(ACTION, ids::param::$action::$ID, given)?, )* })
            }
        }
    };
    // Several: an enum.
    (
        $(#[$outer:meta])*
        $table:ident: $Action:ident {
            $(
                $(#[$vmeta:meta])*
                $action:ident $ACTION:ident $Variant:ident $({ $( $(#[$meta:meta])* $param:ident: $kind:ty = $ID:ident, )* })?
            )+
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $Action { $( $(#[$vmeta])* $Variant $({ $( $(#[$meta])* $param: $kind, )* })?, )+ }

        impl $Action {
            fn encode(&self) -> v1::Action {
                match *self {
                    $( Self::$Variant $({ $( $param, )* })? => call(
                        ids::action::$ACTION,
                        &[ $( $( (ids::param::$action::$ID, $param.to_number()), )* )? ],
                    ), )+
                }
            }

            fn decode(given: &v1::Action) -> Result<Self, EntryError> {
                match given.action_id {
                    $( ids::action::$ACTION => {
                        const ACTION: &str = stringify!($action);
                        params(ACTION, &[ $( $( ids::param::$action::$ID, )* )? ], given)?;
                        Ok(Self::$Variant $({ $( $param: param(ACTION, ids::param::$action::$ID, given)?, )* })?)
                    } )+
                    other => Err(wrong_action(stringify!($table), other)),
                }
            }
        }
    };
}
