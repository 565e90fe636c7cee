//! Reading the C structs: the one place where pointers of the tree are followed.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::{Node, Tree, sys};

/// A struct of the tree.
///
/// Invariant: it points to a node that lives, unchanged, as long as the borrow of its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'t> {
    node: NonNull<u8>,
    tree: PhantomData<&'t Tree>,
}

/// Where a node has a child.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub offset: usize,
    /// The child lies within the node, instead of behind a pointer.
    pub inline: bool,
}

impl<'t> Raw<'t> {
    /// # Safety
    /// `node` is the address of a node that outlives `'t`.
    pub unsafe fn new(node: NonNull<u8>) -> Self {
        Self { node, tree: PhantomData }
    }

    pub fn address(self) -> NonNull<u8> {
        self.node
    }

    /// # Safety
    /// The struct has a field of type `T` at this offset.
    unsafe fn read<T: Copy>(self, offset: usize) -> T {
        // SAFETY: the caller's promise, and the invariant of `Raw`.
        unsafe { self.node.add(offset).cast::<T>().read() }
    }

    /// # Safety
    /// As `read`.
    pub unsafe fn boolean(self, offset: usize) -> bool {
        // SAFETY: passed on. Read as a byte: C may have stored any value that is not zero.
        unsafe { self.read::<u8>(offset) != 0 }
    }

    /// # Safety
    /// As `read`.
    pub unsafe fn int(self, offset: usize) -> i32 {
        // SAFETY: passed on.
        unsafe { self.read::<c_int>(offset) }
    }

    /// # Safety
    /// As `read`.
    pub unsafe fn uint(self, offset: usize) -> u32 {
        // SAFETY: passed on.
        unsafe { self.read::<c_uint>(offset) }
    }

    /// # Safety
    /// As `read`.
    pub unsafe fn character(self, offset: usize) -> u8 {
        // SAFETY: passed on.
        unsafe { self.read::<u8>(offset) }
    }

    /// # Safety
    /// The field is a `char *` to a terminated string of the tree, or null.
    pub unsafe fn text(self, offset: usize) -> Option<&'t [u8]> {
        // SAFETY: passed on.
        let text = unsafe { self.read::<*const c_char>(offset) };
        // SAFETY: not null, so a string of the tree, which nothing changes during `'t`.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
    }

    /// # Safety
    /// The field is a pointer to a node or a list, or null.
    pub unsafe fn child(self, offset: usize) -> Option<Node<'t>> {
        // SAFETY: passed on; pointers of all types have one representation.
        let child = unsafe { self.read::<*mut u8>(offset) };
        // SAFETY: not null, so a node of the tree.
        NonNull::new(child).map(|child| unsafe { Node::at(child) })
    }

    /// # Safety
    /// The field is a `List *`, or null, which is the empty list.
    pub unsafe fn list(self, offset: usize) -> List<'t> {
        // SAFETY: passed on.
        match unsafe { self.child(offset) } {
            Some(Node::List(list)) => list,
            _ => List::EMPTY,
        }
    }

    /// A struct within the struct.
    ///
    /// # Safety
    /// There is one at this offset.
    pub unsafe fn at(self, offset: usize) -> Self {
        // SAFETY: within the node, so it lives as long.
        unsafe { Self::new(self.node.add(offset)) }
    }

    /// A node within the node; none when its tag is not set.
    ///
    /// # Safety
    /// The field is a union of nodes.
    pub unsafe fn inline(self, offset: usize) -> Option<Node<'t>> {
        // SAFETY: passed on; every node begins with its tag, and zero is no tag.
        unsafe {
            let tag = self.uint(offset);
            (tag != sys::NodeTag_T_Invalid).then(|| Node::at(self.at(offset).node))
        }
    }
}

/// A list of nodes, integers or OIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'t>(Option<Raw<'t>>);

impl<'t> List<'t> {
    pub const EMPTY: List<'static> = List(None);

    fn cells(self) -> (u32, &'t [sys::ListCell]) {
        let Some(raw) = self.0 else { return (sys::NodeTag_T_List, &[]) };
        // SAFETY: a `List` is only made of nodes with a list's tag.
        let list = unsafe { raw.node.cast::<sys::List>().as_ref() };
        let length = usize::try_from(list.length).unwrap_or(0);
        if length == 0 || list.elements.is_null() {
            return (list.type_, &[]);
        }
        // SAFETY: `elements` has `length` cells in use.
        (list.type_, unsafe { std::slice::from_raw_parts(list.elements, length) })
    }

    pub fn len(self) -> usize {
        self.cells().1.len()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The nodes; none for a list of integers. A null element, which grammar puts for "nothing
    /// here" in a few places, is left out.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Node<'t>> {
        let (tag, cells) = self.cells();
        let cells = if tag == sys::NodeTag_T_List { cells } else { &[] };
        cells.iter().filter_map(|cell| {
            // SAFETY: cells of a T_List are pointers to nodes.
            let node = NonNull::new(unsafe { cell.ptr_value }.cast::<u8>())?;
            // SAFETY: a node of the tree.
            Some(unsafe { Node::at(node) })
        })
    }

    /// The integers of a list of integers.
    pub fn integers(self) -> impl Iterator<Item = i32> {
        let (tag, cells) = self.cells();
        let cells = if tag == sys::NodeTag_T_IntList { cells } else { &[] };
        // SAFETY: cells of a T_IntList are integers.
        cells.iter().map(|cell| unsafe { cell.int_value })
    }

    pub fn first(self) -> Option<Node<'t>> {
        self.iter().next()
    }
}

impl<'t> Node<'t> {
    /// # Safety
    /// `node` is a node of the tree that `'t` borrows.
    pub(crate) unsafe fn at(node: NonNull<u8>) -> Self {
        // SAFETY: the caller's promise.
        let raw = unsafe { Raw::new(node) };
        // SAFETY: every node begins with its tag.
        match unsafe { raw.uint(0) } {
            sys::NodeTag_T_List
            | sys::NodeTag_T_IntList
            | sys::NodeTag_T_OidList
            | sys::NodeTag_T_XidList => Node::List(List(Some(raw))),
            tag => Self::classified(tag, raw),
        }
    }

    /// Puts the nodes directly below this one on a stack, the last one first, so that they come
    /// off in the order of the text. Lists are passed through: their elements count as children.
    pub fn push_children(self, stack: &mut Vec<Node<'t>>) {
        let start = stack.len();
        match self {
            Node::List(list) => stack.extend(list.iter()),
            Node::Unknown(_) => {}
            _ => self.fields().for_each(|(_, child)| match child {
                Node::List(list) => stack.extend(list.iter()),
                child => stack.push(child),
            }),
        }
        stack.get_mut(start..).unwrap_or_default().reverse();
    }

    /// The children by their fields' names in C; none for lists.
    pub fn fields(self) -> impl Iterator<Item = (&'static str, Node<'t>)> {
        let (raw, fields) = match self.layout() {
            Some((raw, fields)) => (Some(raw), fields),
            None => (None, &[][..]),
        };
        fields.iter().filter_map(move |field| {
            // SAFETY: the table has the offsets of the header for just this type of node.
            let child = unsafe {
                let raw = raw?;
                if field.inline { raw.inline(field.offset) } else { raw.child(field.offset) }
            };
            child.map(|child| (field.name, child))
        })
    }
}
