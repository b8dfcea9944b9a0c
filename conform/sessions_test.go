package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// TestSessionByCLI is a session of the aws command.
func TestSessionByCLI(t *testing.T) {
	session(t, []string{"aws", "--version"}, "bash", "session_cli.sh")
}

// TestSessionByBoto3 is one of boto3, its resources included.
func TestSessionByBoto3(t *testing.T) {
	session(t, []string{"python3", "-c", "import boto3"}, "python3", "session.py")
}

// TestSessionByJavaScript is one of the SDK for JavaScript v3 and of the library sqs-consumer.
func TestSessionByJavaScript(t *testing.T) {
	if out, err := exec.Command("npm", "--version").CombinedOutput(); err != nil {
		t.Skipf("npm is not on this machine: %v %.100s", err, out)
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "session.mjs"} {
		b, err := os.ReadFile(filepath.Join("javascript", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir, npm.WaitDelay = dir, time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		t.Skipf("the packages cannot be had here: %v %.300s", err, out)
	}
	session(t, []string{"node", "--version"}, "node", filepath.Join(dir, "session.mjs"))
}

// session runs a client's script against a server of its own.
func session(t *testing.T, probe []string, run ...string) {
	t.Helper()
	if out, err := exec.Command(probe[0], probe[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%s is not on this machine: %v %.100s", probe[0], err, out)
	}
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, run[0], run[1:]...)
	cmd.Env, cmd.WaitDelay = append(s.Env(), "NODE_NO_WARNINGS=1"), time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", strings.Join(run, " "), err, out, s.Log())
	}
	t.Logf("%s", out)
}

// film is an item as a program has it.
type film struct {
	Year    int               `dynamodbav:"year"`
	Title   string            `dynamodbav:"title"`
	Score   float64           `dynamodbav:"score,omitempty"`
	Cast    []string          `dynamodbav:"cast,stringset,omitempty"`
	Info    map[string]string `dynamodbav:"info,omitempty"`
	Seen    bool              `dynamodbav:"seen"`
	Poster  []byte            `dynamodbav:"poster,omitempty"`
	Expires time.Time         `dynamodbav:"expires,unixtime,omitempty"`
}

// TestDynamoDBByGo drives DynamoDB through the SDK's packages attributevalue and expression, its paginators and waiters.
func TestDynamoDBByGo(t *testing.T) {
	s := start(t)
	ctx := t.Context()
	db := dynamodb.NewFromConfig(s.Root())
	films(t, ctx, db)
	want := film{Year: 1981, Title: "Ключ", Score: 7.25, Cast: []string{"a", "b"}, Info: map[string]string{"by": "x"}, Seen: true, Poster: []byte{0, 255},
		Expires: time.Unix(4_000_000_000, 0)}
	item, err := attributevalue.MarshalMap(want)
	if err != nil {
		t.Fatal(err)
	}
	absent, err := expression.NewBuilder().WithCondition(expression.Name("title").AttributeNotExists()).Build()
	if err != nil {
		t.Fatal(err)
	}
	put := &dynamodb.PutItemInput{TableName: aws.String("films"), Item: item, ConditionExpression: absent.Condition(), ExpressionAttributeNames: absent.Names()}
	if _, err := db.PutItem(ctx, put); err != nil {
		t.Fatal(err)
	}
	var failed *ddb.ConditionalCheckFailedException
	if _, err := db.PutItem(ctx, put); !errors.As(err, &failed) {
		t.Errorf("the second put: %v", err)
	}
	got := read(t, ctx, db, 1981, "Ключ")
	slices.Sort(got.Cast)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	updateFilm(t, ctx, db)
	pages(t, ctx, db)
	cancelled(t, ctx, db)
	if _, err := db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String("films")}); err != nil {
		t.Fatal(err)
	}
	if err := dynamodb.NewTableNotExistsWaiter(db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("films")}, time.Minute); err != nil {
		t.Error(err)
	}
}

// films makes the table and waits for it.
func films(t *testing.T, ctx context.Context, db *dynamodb.Client) {
	t.Helper()
	_, err := db.CreateTable(ctx, &dynamodb.CreateTableInput{TableName: aws.String("films"), BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: aws.String("year"), AttributeType: ddb.ScalarAttributeTypeN}, {AttributeName: aws.String("title"), AttributeType: ddb.ScalarAttributeTypeS}},
		KeySchema:            []ddb.KeySchemaElement{{AttributeName: aws.String("year"), KeyType: ddb.KeyTypeHash}, {AttributeName: aws.String("title"), KeyType: ddb.KeyTypeRange}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := dynamodb.NewTableExistsWaiter(db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("films")}, time.Minute); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, ctx context.Context, db *dynamodb.Client, year int, title string) (f film) {
	t.Helper()
	key, err := attributevalue.MarshalMap(map[string]any{"year": year, "title": title})
	if err != nil {
		t.Fatal(err)
	}
	out, err := db.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("films"), Key: key})
	if err == nil {
		err = attributevalue.UnmarshalMap(out.Item, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// updateFilm changes the film with every kind of clause.
func updateFilm(t *testing.T, ctx context.Context, db *dynamodb.Client) {
	t.Helper()
	change := expression.Set(expression.Name("score"), expression.Name("score").Plus(expression.Value(1))).
		Set(expression.Name("info.by"), expression.IfNotExists(expression.Name("info.none"), expression.Value("y"))).
		Remove(expression.Name("poster")).
		Add(expression.Name("cast"), expression.Value(&ddb.AttributeValueMemberSS{Value: []string{"c"}}))
	where := expression.Name("score").Between(expression.Value(7), expression.Value(8)).And(expression.Name("cast").Contains("a"))
	e, err := expression.NewBuilder().WithUpdate(change).WithCondition(where).Build()
	if err != nil {
		t.Fatal(err)
	}
	out, err := db.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String("films"), ReturnValues: ddb.ReturnValueAllNew,
		Key:              map[string]ddb.AttributeValue{"year": &ddb.AttributeValueMemberN{Value: "1981"}, "title": &ddb.AttributeValueMemberS{Value: "Ключ"}},
		UpdateExpression: e.Update(), ConditionExpression: e.Condition(), ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values()})
	if err != nil {
		t.Fatal(err)
	}
	var f film
	if err := attributevalue.UnmarshalMap(out.Attributes, &f); err != nil {
		t.Fatal(err)
	}
	slices.Sort(f.Cast)
	if f.Score != 8.25 || f.Info["by"] != "y" || f.Poster != nil || !slices.Equal(f.Cast, []string{"a", "b", "c"}) {
		t.Errorf("updated to %+v", f)
	}
}

// pages writes 100 films and reads them by pages of queries and scans.
func pages(t *testing.T, ctx context.Context, db *dynamodb.Client) {
	t.Helper()
	for from := 0; from < 100; from += 25 {
		var puts []ddb.WriteRequest
		for i := from; i < from+25; i++ {
			item, err := attributevalue.MarshalMap(film{Year: 2000, Title: fmt.Sprintf("%03d", i), Seen: i%2 == 0})
			if err != nil {
				t.Fatal(err)
			}
			puts = append(puts, ddb.WriteRequest{PutRequest: &ddb.PutRequest{Item: item}})
		}
		if _, err := db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]ddb.WriteRequest{"films": puts}}); err != nil {
			t.Fatal(err)
		}
	}
	e, err := expression.NewBuilder().WithFilter(expression.Name("seen").Equal(expression.Value(true))).
		WithKeyCondition(expression.Key("year").Equal(expression.Value(2000)).And(expression.Key("title").GreaterThanEqual(expression.Value("010")))).Build()
	if err != nil {
		t.Fatal(err)
	}
	var titles []string
	query := dynamodb.NewQueryPaginator(db, &dynamodb.QueryInput{TableName: aws.String("films"), Limit: aws.Int32(7), KeyConditionExpression: e.KeyCondition(),
		FilterExpression: e.Filter(), ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values()})
	for query.HasMorePages() {
		page, err := query.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			titles = append(titles, item["title"].(*ddb.AttributeValueMemberS).Value)
		}
	}
	if len(titles) != 45 || titles[0] != "010" || titles[44] != "098" || !slices.IsSorted(titles) {
		t.Errorf("%d titles: %q", len(titles), titles)
	}
	count := 0
	for segment := range int32(3) {
		scan := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{TableName: aws.String("films"), Segment: aws.Int32(segment), TotalSegments: aws.Int32(3), Limit: aws.Int32(9)})
		for scan.HasMorePages() {
			page, err := scan.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			count += len(page.Items)
		}
	}
	if count != 101 {
		t.Errorf("the segments have %d items", count)
	}
}

// cancelled makes a transaction fail at its second part.
func cancelled(t *testing.T, ctx context.Context, db *dynamodb.Client) {
	t.Helper()
	key := func(title string) map[string]ddb.AttributeValue {
		return map[string]ddb.AttributeValue{"year": &ddb.AttributeValueMemberN{Value: "1"}, "title": &ddb.AttributeValueMemberS{Value: title}}
	}
	_, err := db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []ddb.TransactWriteItem{
		{Put: &ddb.Put{TableName: aws.String("films"), Item: key("a")}},
		{ConditionCheck: &ddb.ConditionCheck{TableName: aws.String("films"), Key: key("b"), ConditionExpression: aws.String("attribute_exists(title)")}}}})
	var e *ddb.TransactionCanceledException
	if !errors.As(err, &e) || len(e.CancellationReasons) != 2 || *e.CancellationReasons[0].Code != "None" || *e.CancellationReasons[1].Code != "ConditionalCheckFailed" {
		text, _ := json.Marshal(e)
		t.Errorf("%v %s", err, text)
	}
	if f := read(t, ctx, db, 1, "a"); f.Title != "" {
		t.Errorf("half of a transaction: %+v", f)
	}
}
