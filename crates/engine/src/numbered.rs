//! Enumerations that leave the library: each value has a number, for programs, and a name, for people.
//!
//! Neither changes, and neither is ever given to another value: one that is no more leaves a gap.

macro_rules! numbered {
    (
        $(#[$of_all:meta])*
        $name:ident {
            $($(#[$of_one:meta])* $value:ident = $number:literal, $text:literal;)+
        }
    ) => {
        $(#[$of_all])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum $name {
            $($(#[$of_one])* $value = $number,)+
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: [$name; [$($number),+].len()] = [$($name::$value),+];

            /// Its number.
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$value => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        /// By its name.
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

pub(crate) use numbered;

#[cfg(test)]
mod tests {
    use crate::{Callback, ElectionState, LostReason, Obstacle, SessionState};

    #[test]
    fn numbers_count_up_from_one_and_names_are_words() {
        fn check<const N: usize>(all: [(i32, &str); N]) {
            for (at, (number, name)) in all.into_iter().enumerate() {
                assert_eq!(usize::try_from(number), Ok(at + 1), "{name}");
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            }
        }
        check(Callback::ALL.map(|c| (c.number(), c.name())));
        check(ElectionState::ALL.map(|s| (s.number(), s.name())));
        check(LostReason::ALL.map(|r| (r.number(), r.name())));
        check(Obstacle::ALL.map(|o| (o.number(), o.name())));
        check(SessionState::ALL.map(|s| (s.number(), s.name())));
    }
}
