//! Why a system call refuses, by Linux's numbers and names.

use std::fmt;

/// An error number of Linux (`errno(3)`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $number:literal),* $(,)?) => {
        #[allow(missing_docs, reason = "errno(3) says what each is")]
        impl Errno {
            $(pub const $name: Errno = Errno($number);)*
        }

        const NAMES: &[(i32, &str)] = &[$(($number, concat!("E", stringify!($name)))),*];
    };
}

errnos! {
    PERM = 1, NOENT = 2, IO = 5, NXIO = 6, BADF = 9, AGAIN = 11, ACCES = 13, BUSY = 16, EXIST = 17, XDEV = 18,
    NODEV = 19, NOTDIR = 20, ISDIR = 21, INVAL = 22, TXTBSY = 26, FBIG = 27, NOSPC = 28, SPIPE = 29, ROFS = 30, MLINK = 31, RANGE = 34,
    NAMETOOLONG = 36, NOTEMPTY = 39, LOOP = 40, NODATA = 61, OVERFLOW = 75, OPNOTSUPP = 95, CONNABORTED = 103, NOTCONN = 107, STALE = 116,
}

impl Errno {
    /// Those that the model gives: why an operation is refused.
    pub const GIVEN: [Errno; 18] = [
        Errno::PERM,
        Errno::NOENT,
        Errno::IO,
        Errno::NXIO,
        Errno::BADF,
        Errno::ACCES,
        Errno::BUSY,
        Errno::EXIST,
        Errno::XDEV,
        Errno::NOTDIR,
        Errno::ISDIR,
        Errno::INVAL,
        Errno::RANGE,
        Errno::NAMETOOLONG,
        Errno::NOTEMPTY,
        Errno::LOOP,
        Errno::NODATA,
        Errno::OPNOTSUPP,
    ];
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
