package expr

// step is one step of a document path: a name, a #name by its number, or a list index.
type step struct {
	name  string
	ref   int // number of the #name, or -1
	index int // of a list, or -1
}

type path []step

type operandKind uint8

const (
	pathOperand operandKind = iota
	valueOperand
	sizeOperand // size(path)
	plus
	minus
	ifNotExists
	listAppend
)

// operand is what a comparison compares or a SET assigns.
type operand struct {
	kind  operandKind
	path  path
	value int // number of the :value
	args  []operand
}

type operator uint8

const (
	and operator = iota
	or
	not
	equal
	notEqual
	less
	lessOrEqual
	greater
	greaterOrEqual
	between
	in
	exists
	notExists
	typeIs
	beginsWith
	contains
)

var operatorNames = [...]string{"AND", "OR", "NOT", "=", "<>", "<", "<=", ">", ">=", "BETWEEN", "IN",
	"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"}

func (o operator) String() string { return operatorNames[o] }

// condition is a node of a boolean expression: kids for AND, OR and NOT, args otherwise.
type condition struct {
	op   operator
	kids []*condition
	args []operand
}

type verb uint8

const (
	set verb = iota
	remove
	add
	del
)

var verbNames = [...]string{"SET", "REMOVE", "ADD", "DELETE"}

type action struct {
	verb   verb
	target path
	value  operand // of SET, ADD and DELETE
}

// tree is a parsed expression. It never changes.
type tree struct {
	kind      Kind
	condition *condition
	paths     []path // of a projection
	actions   []action
	names     []string // "#n", by number
	values    []string // ":v", by number
	indexed   bool     // some target of an update has a list index
}
